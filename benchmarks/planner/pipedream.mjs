// PipeDream's VGG-16 (Narayanan et al., SOSP 2019; profile of msr-fiddle/pipedream, profiler/image_classification/profiles/vgg16/graph.txt:
// one microbatch of 128, V100) on 16 devices with 10 Gbit/s each: the layout found against the published hybrid 15-1 and
// against data parallelism, all in Longtail's cost model.
//   node benchmarks/planner/pipedream.mjs [--devices 16] [--gbit 10] [--batch 2048]
import { parseArgs } from 'node:util';
import { CostModel, createPlan, planFor } from '../../libs/planner/dist/index.js';

const { values: flags } = parseArgs({
  options: {
    devices: { type: 'string', default: '16' },
    gbit: { type: 'string', default: '10' },
    batch: { type: 'string', default: '2048' },
  },
});
const count = Number(flags.devices);
const bitsPerSecond = 1e9 * Number(flags.gbit);
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
const devices = Array.from({ length: count }, (_, i) => ({
  id: `gpu${i}`,
  name: 'V100',
  flopsPerSecond: 1e13,
  blockTimes,
  memoryBytes: 16 * 2 ** 30,
  upBitsPerSecond: bitsPerSecond,
  downBitsPerSecond: bitsPerSecond,
  roundTripMs: 0.1,
}));
const cluster = {
  devices,
  lans: [{ name: 'rack', devices: devices.map(({ id }) => id), bitsPerSecond, roundTripMs: 0.1 }],
  peers: [],
  server: { upBitsPerSecond: bitsPerSecond, downBitsPerSecond: bitsPerSecond },
};
const request = {
  batch: Number(flags.batch),
  stepsPerRound: 1,
  microbatches: [4, 8, 16, 32, 64],
  stateBytesPerParameter: 4,
  upBitsPerValue: 32,
  downBitsPerValue: 32,
  activationBits: 32,
  recompute: 'never',
  schedule: '1f1b',
  workspaceBytes: 2 ** 29,
};

const start = performance.now();
const plan = createPlan(profile, cluster, request);
const tookMs = performance.now() - start;
console.log(`found in ${Math.round(tookMs)} ms, ${plan.method}: ${describe(plan)}`);

const model = new CostModel(profile, cluster, request);
const all = devices.map((_, i) => i);
const single = { alone: true, maxGroups: 1, sharedMs: 0 };
const stage = (start, end, members) => ({ start, end, devices: members, recompute: false });
const blocks = LAYERS.length;
const cut = LAYERS.findIndex(([name]) => name === 'fc6');
const layouts = {
  '15-1, fully connected layers on one': (microbatch) => [
    { microbatch, stages: [stage(0, cut, all.slice(0, -1)), stage(cut, blocks, all.slice(-1))] },
  ],
  'data parallel, one group of 16': (microbatch) => [{ microbatch, stages: [stage(0, blocks, all)] }],
};
for (const [name, groupsOf] of Object.entries(layouts)) {
  const best = request.microbatches
    .map((size) => planFor(model, { groups: groupsOf(size), scenario: single }))
    .sort((a, b) => a.roundMs - b.roundMs)[0];
  console.log(`${name}: ${describe(best)}; found is ${(best.roundMs / plan.roundMs).toFixed(3)} × as fast`);
}

function describe({ groups, roundMs, samplesPerSecond }) {
  const shape = groups.map((group) => group.stages.map((s) => `${s.devices.length} × [${s.names.join('–')}]`).join(' → ')).join(' | ');
  return `${shape}, microbatch ${groups[0].microbatch}, ${Math.round(roundMs)} ms a step of ${request.batch}, ${Math.round(samplesPerSecond)} samples/s`;
}
