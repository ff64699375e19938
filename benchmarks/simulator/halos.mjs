// Time to loss in the environment of HALoS (Kim et al. 2025, arXiv 2506.04531), in virtual time: 16 workers in four regions, whose speeds
// and links are those of examples/env.yaml in github.com/utnslab/halos, Longtail's runtime on a virtual clock, and a small GPT that a real
// engine trains. Synchronous local SGD, as there every worker takes as many steps and all wait for all, against Longtail's strategies.
//   node benchmarks/simulator/halos.mjs [--rounds 24] [--only ARM]…
import { createHash } from 'node:crypto';
import { parseArgs } from 'node:util';
import { describeData, openDataset } from '@longtail/data';
import { loadEngine } from '@longtail/engine';
import { modelOfStage, simulate } from '@longtail/simulator';
import { nodeFiles } from '@longtail/store';
import { createStrategy } from '@longtail/sync';

const { values: options } = parseArgs({ options: { rounds: { type: 'string', default: '24' }, only: { type: 'string', multiple: true } } });

/** Gbit/s between the region of the server, where HALoS has its global one, and each region. */
const BANDWIDTHS = [100, 0.537, 0.935, 0.202];
/** Of the workers of each region; the fastest takes `STEP_MS` a local step. */
const SPEEDS = [
  [0.232, 0.907, 0.828, 0.347],
  [0.574, 0.531, 0.722, 0.194],
  [0.852, 0.132, 0.896, 0.107],
  [0.827, 0.515, 0.527, 0.788],
];
const STEP_MS = 238.391;
/** Pythia-70M: links are as much slower than those above as our model is smaller, so that an exchange takes as many steps. */
const PARAMETERS = 70_426_624;
/** Their DiLoCo: an all-reduce round the ring whose slowest link is the fastest possible, after the slowest worker's steps. */
const RING_GBPS = 0.127;
const STEPS = 32;
/** Not in their environment, which has no latency. */
const RTT_MS = { within: 1, between: 100 };

const BATCH = 8;
const VALIDATION_SAMPLES = 512;
const workers = SPEEDS.flat().length;
const fastest = Math.max(...SPEEDS.flat());
const samples = Number(options.rounds) * STEPS * workers * BATCH;

const dataSpec = { type: 'gutenberg', tokenizer: 'character', sequence: 32, validationFraction: 0.02 };
const source = nodeFiles();
const data = await openDataset(dataSpec, await describeData(dataSpec, source, new AbortController().signal), { source });
const gpt = { type: 'gpt', vocabulary: data.signature.classes, context: 32, width: 32, layers: 1, heads: 2, feedForward: 64 };
const engine = await loadEngine('tensorflow', { threads: 1 });
const model = await modelOfStage(await engine.build(gpt, 'all', { loss: 'cross-entropy', data: data.signature, seed: 1 }), data);
const scale = model.layout.length / PARAMETERS;

/** `shared`: the four workers of a region have its link together; in the published simulator each has it to itself. */
const fleet = (shared) =>
  SPEEDS.flatMap((speeds, region) =>
    speeds.map((speed, i) => {
      const bitsPerSecond = 1e9 * BANDWIDTHS[region] * scale;
      const rttMs = region === 0 ? RTT_MS.within : RTT_MS.between;
      const link = { upBitsPerSecond: bitsPerSecond, downBitsPerSecond: bitsPerSecond, rttMs, ...(shared && { site: `region ${region}` }) };
      return { name: `${region}.${i}`, samplesPerSecond: (1000 * BATCH * speed) / fastest / STEP_MS, overheadMs: 0, link };
    }),
  );

/** Every worker the same number of steps, and all wait for all. */
const synchronous = (steps) => ({
  ...createStrategy({ strategy: 'bsp', deadlineFactor: 1e9, minDeadlineMs: 0 }),
  name: 'synchronous local SGD',
  localSteps: (groups) => ({ steps: new Map(groups.map(({ node }) => [node, steps])), reason: 'as many for everybody' }),
});

const int4 = { codec: 'int4', downCodec: 'int4' };
/** The server takes over the mean of the moves; else it steps along it with their 0.7 and Nesterov's 0.9, as DiLoCo does. */
const plainMean = { outer: { learningRate: 1, momentum: 0 } };
const dynamic = (localSteps, rest) => ({ sync: { strategy: 'diloco', localSteps, ...rest } });
const ARMS = {
  'synchronous, 32 steps, fp32': { ...dynamic(STEPS), strategy: synchronous(STEPS) },
  'diloco 64, int4': dynamic(64, int4),
  'diloco 64, int4, a link a region': { ...dynamic(64, int4), shared: true },
  'diloco 32, int4': dynamic(32, int4),
  'diloco 32, fp32': dynamic(32),
  'synchronous, 128 steps, fp32': { ...dynamic(128), strategy: synchronous(128) },
  'diloco auto, int4': dynamic('auto', int4),
  'asp 8, int4, plain mean': { sync: { strategy: 'asp', localSteps: 8, ...int4, ...plainMean } },
  'diloco 64, int4, quorum 3/4': dynamic(64, { ...int4, quorum: 0.75, graceMs: 500 }),
  'streaming-diloco 64, int4': { sync: { strategy: 'streaming-diloco', localSteps: 64, ...int4 } },
  'streaming-diloco 64, int4, a link a region': { sync: { strategy: 'streaming-diloco', localSteps: 64, ...int4 }, shared: true },
  'synchronous, 32 steps, fp32, plain mean': { ...dynamic(STEPS, plainMean), strategy: synchronous(STEPS) },
  'diloco 64, int4, plain mean': dynamic(64, { ...int4, ...plainMean }),
  'sparse-diloco 64, plain mean': { sync: { strategy: 'sparse-diloco', localSteps: 64, codec: 'top-k', topK: { density: 1 / 16, values: 'int8', selection: 'exact' }, ...plainMean } },
};

const jobOf = (sync) => ({
  name: 'halos',
  model: gpt,
  loss: 'cross-entropy',
  data: dataSpec,
  train: {
    epochs: 1,
    maxSamples: samples,
    batch: BATCH,
    optimizer: { type: 'adam', beta1: 0.9, beta2: 0.95, epsilon: 1e-8, weightDecay: 0.1, decoupled: true },
    learningRate: 0.003,
    schedule: { type: 'constant' },
    clipNorm: undefined,
    seed: 3,
  },
  validation: { everyEpochs: 1, maxSamples: workers },
  sync: { deadlineFactor: 6, minDeadlineMs: 1000, codec: 'fp32', maxNorm: undefined, ...sync },
  cluster: { minWorkers: workers, waitMs: 60_000, engine: undefined },
  checkpoint: { everyMs: 1e12 },
});

async function run({ sync, strategy, shared = false }) {
  const kept = [];
  const nodes = fleet(shared);
  const outcome = await simulate({
    job: jobOf(sync),
    model,
    fleet: nodes,
    strategy,
    seed: 1,
    chunkLength: 4096,
    serverBitsPerSecond: 1e9 * BANDWIDTHS[0] * scale,
    limitMs: 1e9,
    // Evaluated afterwards, as in the published simulator: it takes no time of the run.
    committed({ samplesApplied }, nowMs, parameters) {
      if (samplesApplied >= (kept.at(-1)?.samplesApplied ?? 0) + samples / 96) kept.push({ samplesApplied, nowMs, parameters: parameters() });
    },
  });
  if (outcome.verdict.status !== 'succeeded') throw new Error(outcome.verdict.reason);
  const { timeMs: startMs } = outcome.events.find(({ body }) => body.event === 'started');
  const curve = [];
  for (const { samplesApplied, nowMs, parameters } of kept) {
    const { lossSum, targets } = await model.evaluate(parameters, 'validation', 0, VALIDATION_SAMPLES);
    curve.push({ samples: samplesApplied, ms: nowMs - startMs, loss: lossSum / targets });
  }
  const sha256 = createHash('sha256').update(outcome.parameters).digest('hex').slice(0, 8);
  return { curve, sha256, bytesUp: outcome.verdict.bytes.up, ...whereCapacityWent(outcome, nodes, startMs) };
}

/** Fractions of what the fleet could compute in the time of the run. */
function whereCapacityWent({ events }, nodes, startMs) {
  const commits = events.filter(({ body }) => body.event === 'commit');
  const wallMs = commits.at(-1).timeMs - startMs;
  const capacity = nodes.reduce((sum, { samplesPerSecond }) => sum + samplesPerSecond, 0);
  const part = new Map(nodes.map(({ name, samplesPerSecond }) => [name, samplesPerSecond / capacity / wallMs]));
  const contributions = events.flatMap(({ body }) => (body.event === 'contribution' ? [body] : []));
  const sum = (ms) => contributions.reduce((total, one) => total + part.get(one.name) * ms(one), 0);
  const computed = sum(({ computeMs }) => computeMs);
  const exchanged = sum(({ computeMs, sentAtMs, doneAtMs }) => doneAtMs - sentAtMs - computeMs);
  return { commits: commits.length, contributions: contributions.length, wallMs, computed, exchanged, waited: 1 - computed - exchanged };
}

/** When a curve first has this loss, between two of its points; undefined: never. */
function reach(curve, loss) {
  const i = curve.findIndex((point) => point.loss <= loss);
  if (i < 0) return undefined;
  const [b, a] = [curve[i], curve[i - 1] ?? curve[i]];
  const part = a.loss === b.loss ? 1 : (a.loss - loss) / (a.loss - b.loss);
  return { ms: a.ms + part * (b.ms - a.ms), samples: a.samples + part * (b.samples - a.samples) };
}

const percent = (value) => `${(100 * value).toFixed(1)} %`;
const slowest = Math.min(...SPEEDS.flat());
const ringMs = (STEPS * STEP_MS * fastest) / slowest + (2 * (workers - 1) * 32 * PARAMETERS) / workers / RING_GBPS / 1e6;
console.log(`${model.layout.length} parameters, ${workers} workers; a round of their DiLoCo (32 steps, ring) would take ${(ringMs / 1000).toFixed(1)} s`);
const [baseline, ...others] = Object.entries(ARMS);
const wanted = others.filter(([name]) => options.only?.includes(name) ?? true);
let base;
for (const [name, arm] of [baseline, ...wanted]) {
  const result = await run(arm);
  base ??= result;
  const target = base.curve.at(-1).loss;
  const [theirs, ours] = [reach(base.curve, target), reach(result.curve, target)];
  const { commits, wallMs, computed, exchanged, waited, curve, sha256, bytesUp, contributions } = result;
  const upPart = bytesUp / contributions / (4 * model.layout.length);
  const speed = ours && [
    `loss ${target.toFixed(3)} after ${(ours.ms / 1000).toFixed(1)} s, ${(theirs.ms / ours.ms).toFixed(2)} ×`,
    `(rate ${(theirs.ms / theirs.samples / (ours.ms / ours.samples)).toFixed(2)} × tokens ${(theirs.samples / ours.samples).toFixed(2)} ×;`,
    `to their ring ${(((theirs.samples / (STEPS * workers * BATCH)) * ringMs) / ours.ms).toFixed(2)} ×)`,
  ].join(' ');
  console.log(`${name}: ${speed ?? `loss ${target.toFixed(3)} not reached`}; all tokens: ${(wallMs / 1000).toFixed(1)} s, loss ${curve.at(-1).loss.toFixed(3)}`);
  console.log(`    ${commits} commits, computed ${percent(computed)}, exchanged ${percent(exchanged)}, waited ${percent(waited)}, up ${percent(upPart)} of fp32, ${sha256}`);
}
await engine.dispose();
