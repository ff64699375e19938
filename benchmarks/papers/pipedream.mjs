// PipeDream's VGG-16 (Narayanan et al., SOSP 2019; profile of msr-fiddle/pipedream, profiler/image_classification/profiles/vgg16/graph.txt:
// one microbatch of 128, V100) on 16 devices with 10 Gbit/s each: the layout found against the published hybrid 15-1 and
// against data parallelism, all in Longtail's cost model.
import { CostModel, createPlan, planFor } from '@longtail/planner';

const DEVICES = 16;
const PORT = 10e9;
const MICROBATCH = 128;

/** Name, forward ms, backward ms, activation bytes and parameter bytes, all for a microbatch of 128. */
const LAYERS = [
  ['conv1_1', 22.307, 24.613, 1644167168, 7168],
  ['relu1_1', 4.446, 5.553, 1644167168, 0],
  ['conv1_2', 46.201, 113.33, 1644167168, 147712],
  ['relu1_2', 4.455, 5.311, 1644167168, 0],
  ['pool1', 3.795, 5.579, 411041792, 0],
  ['conv2_1', 15.155, 39.648, 822083584, 295424],
  ['relu2_1', 2.359, 2.738, 822083584, 0],
  ['conv2_2', 22.062, 53.379, 822083584, 590336],
  ['relu2_2', 2.513, 2.62, 822083584, 0],
  ['pool2', 2.211, 2.788, 205520896, 0],
  ['conv3_1', 10.814, 18.335, 411041792, 1180672],
  ['relu3_1', 1.377, 1.38, 411041792, 0],
  ['conv3_2', 17.458, 27.023, 411041792, 2360320],
  ['relu3_2', 1.64, 1.463, 411041792, 0],
  ['conv3_3', 14.245, 33.888, 411041792, 2360320],
  ['relu3_3', 1.549, 1.321, 411041792, 0],
  ['pool3', 1.169, 1.513, 102760448, 0],
  ['conv4_1', 9.249, 14.574, 205520896, 4720640],
  ['relu4_1', 1.026, 0.696, 205520896, 0],
  ['conv4_2', 15.359, 21.9, 205520896, 9439232],
  ['relu4_2', 0.848, 0.679, 205520896, 0],
  ['conv4_3', 11.775, 28.67, 205520896, 9439232],
  ['relu4_3', 0.881, 0.642, 205520896, 0],
  ['pool4', 0.802, 0.781, 51380224, 0],
  ['conv5_1', 5.608, 7.381, 51380224, 9439232],
  ['relu5_1', 0.784, 0.266, 51380224, 0],
  ['conv5_2', 4.07, 7.396, 51380224, 9439232],
  ['relu5_2', 0.463, 0.19, 51380224, 0],
  ['conv5_3', 4.042, 8.648, 51380224, 9439232],
  ['relu5_3', 0.455, 0.175, 51380224, 0],
  ['pool5', 0.553, 0.234, 12845056, 0],
  ['fc6', 2.475, 4.575, 2097152, 411058176],
  ['relu6', 0.377, 0.03, 2097152, 0],
  ['fc7', 0.709, 0.734, 2097152, 67125248],
  ['relu7', 0.277, 0.032, 2097152, 0],
  ['fc8', 0.393, 0.548, 512000, 16388000],
];
const profile = {
  name: 'VGG-16',
  inputBytes: 77070336 / MICROBATCH,
  blocks: LAYERS.map(([name, , , activation, parameters]) => ({
    name,
    parameters: parameters / 4,
    tied: [],
    forwardFlops: 1,
    backwardFlops: 2,
    outputBytes: activation / MICROBATCH,
    stashBytes: activation / MICROBATCH,
    cutAfter: true,
  })),
};
const blockTimes = [
  { microbatch: MICROBATCH, forwardMs: LAYERS.map(([, forward]) => forward), backwardMs: LAYERS.map(([, , backward]) => backward) },
];
const ids = Array.from({ length: DEVICES }, (_, i) => `gpu${i}`);
const clusterAt = (bitsPerSecond) => {
  const link = { upBitsPerSecond: bitsPerSecond, downBitsPerSecond: bitsPerSecond };
  return {
    devices: ids.map((id) => ({
      id,
      name: 'V100',
      flopsPerSecond: 1e13,
      blockTimes,
      memoryBytes: 16 * 2 ** 30,
      ...link,
      roundTripMs: 0.1,
    })),
    lans: [{ name: 'rack', devices: ids, bitsPerSecond, roundTripMs: 0.1 }],
    peers: [],
    server: link,
  };
};

const requestFor = (batch) => ({
  batch,
  stepsPerRound: 1,
  microbatches: [4, 8, 16, 32, 64],
  stateBytesPerParameter: 4,
  upBitsPerValue: 32,
  downBitsPerValue: 32,
  activationBits: 32,
  recompute: 'never',
  schedule: '1f1b',
  workspaceBytes: 2 ** 29,
});

const everyone = ids.map((_, i) => i);
const stage = (start, end, members) => ({ start, end, devices: members, recompute: false });
const fullyConnected = LAYERS.findIndex(([name]) => name === 'fc6');
const HYBRID = [stage(0, fullyConnected, everyone.slice(0, -1)), stage(fullyConnected, LAYERS.length, everyone.slice(-1))];
const DATA_PARALLEL = [stage(0, LAYERS.length, everyone)];

/** A layout in the best of the microbatches. */
function roundMs(request, stages, bitsPerSecond = PORT) {
  const model = new CostModel(profile, clusterAt(bitsPerSecond), request);
  const scenario = { alone: true, maxGroups: 1, sharedMs: 0 };
  return Math.min(...request.microbatches.map((microbatch) => planFor(model, { groups: [{ microbatch, stages }], scenario }).roundMs));
}

const shapeOf = ({ groups }) => groups.map(({ stages }) => stages.map((one) => one.devices.length).join('-')).join(' | ');

const TABLE = 'Narayanan et al. 2019 (SOSP), table 1: VGG-16 on 4 × 4 V100';
/** 64 a device, as theirs. */
const THEIR_BATCH = 1024;

export default {
  name: 'pipedream',
  title: "PipeDream's partition of VGG-16 over 16 V100 at 10 Gbit/s, by their profile of its layers",
  run() {
    const layouts = [1024, 2048, 4096].map((batch) => {
      const request = requestFor(batch);
      const plan = createPlan(profile, clusterAt(PORT), request);
      const times = (roundMs(request, HYBRID) / plan.roundMs).toFixed(2);
      const why =
        shapeOf(plan) === '15-1'
          ? `${plan.method} search`
          : `${times} × as fast as 15-1 here: theirs streams minibatches and never flushes, ours empties the pipeline each step, and with few samples a third stage shortens the sums among replicas`;
      return { what: `layout, batch ${batch}`, source: TABLE, expected: '15-1', ours: shapeOf(plan), why };
    });
    const request = requestFor(THEIR_BATCH);
    const speedups = [
      ['a port each', PORT, 'they measured, on four V100 a port, without flushes and with the sums of that time'],
      ['a quarter of a port each', PORT / 4, 'as if the four of a machine shared its port for all that they send'],
    ].map(([what, rate, why]) => ({
      what: `15-1 against data parallelism, ${what}, batch ${THEIR_BATCH}, ×`,
      source: TABLE,
      expected: 5.28,
      ours: roundMs(request, DATA_PARALLEL, rate) / roundMs(request, HYBRID, rate),
      why,
    }));
    return [...layouts, ...speedups];
  },
};
