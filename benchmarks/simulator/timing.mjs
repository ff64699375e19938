// How long a simulation takes in which only times count: nodes × rounds of Longtail's runtime in virtual time, without arithmetic, on home links.
// A node computes for some 20 s a round: with less to compute a round is done sooner by fewer of them, and the others are left out (ADR 52).
//   node benchmarks/simulator/timing.mjs [--nodes 1000] [--rounds 1000] [--strategy bsp|ssp|asp|diloco|streaming-diloco]
import { spawnSync } from 'node:child_process';
import { parseArgs } from 'node:util';
import { roomForTheYoung } from '@longtail/simulator/v8-options';

const { values: options } = parseArgs({
  options: { nodes: { type: 'string', default: '1000' }, rounds: { type: 'string', default: '1000' }, strategy: { type: 'string', default: 'bsp' } },
});
const [nodes, rounds] = [Number(options.nodes), Number(options.rounds)];
const { strategy } = options;
// As the arms of `longtail bench` run.
const room = roomForTheYoung(nodes);
if (!room.every((option) => process.execArgv.includes(option))) {
  const { status } = spawnSync(process.execPath, [...process.execArgv, ...room, ...process.argv.slice(1)], { stdio: 'inherit' });
  process.exit(status ?? 1);
}
// Only here: it is not loaded twice.
const { simulate, timingModel } = await import('@longtail/simulator');
/** Of the issue: seconds for a million nodes × rounds, start included. */
const limitSeconds = nodes >= 10_000 ? 60 : 30;

const BATCH = 8;
const local = strategy.endsWith('diloco');
const samples = nodes * rounds * BATCH;
const job = {
  name: 'timing',
  model: { type: 'mlp', input: 1, hidden: [], outputs: 2 },
  loss: 'cross-entropy',
  data: { type: 'mnist' },
  train: {
    epochs: 1,
    maxSamples: samples,
    batch: local ? BATCH : nodes * BATCH,
    optimizer: { type: 'sgd', momentum: 0, nesterov: false, weightDecay: 0 },
    learningRate: 0.1,
    schedule: { type: 'constant', warmup: 0, floor: 0 },
    clipNorm: undefined,
    seed: 1,
  },
  validation: { everyEpochs: 1, maxSamples: undefined },
  sync: { strategy, deadlineFactor: 3, minDeadlineMs: 200, codec: 'int8', maxNorm: undefined, ...(local && { localSteps: 1 }), ...(strategy === 'ssp' && { staleness: 2 }) },
  cluster: { minWorkers: nodes, waitMs: 60_000, engine: undefined },
  checkpoint: { everyMs: 1e9 },
};
const fleet = Array.from({ length: nodes }, (_, i) => ({
  name: `node${i}`,
  samplesPerSecond: (20 + (i % 17)) / 80,
  jitter: 0.1,
  link: { upBitsPerSecond: 1e7 * (2 + (i % 5)), downBitsPerSecond: 1e8, rttMs: 20 + (i % 30), slowStart: true },
}));

let contributions = 0;
const before = process.cpuUsage();
const startedAtMs = performance.now();
const { verdict, virtualMs, account } = await simulate({
  ...timingModel({ blocks: [{ parameters: 1e6, tied: [], forwardFlops: 1, backwardFlops: 2, outputBytes: 40 }], trainSamples: samples }),
  job,
  fleet,
  seed: 1,
  serverBitsPerSecond: 1e10,
  checksums: false,
  heartbeatMs: 1e9,
  limitMs: 1e12,
  account: true,
  keeps: ({ body }) => {
    if (body.event === 'contribution') contributions++;
    return body.event !== 'contribution' && body.event !== 'shares';
  },
});
const { user, system } = process.cpuUsage(before);
const cpuSeconds = (user + system) / 1e6;
const wallSeconds = (performance.now() - startedAtMs) / 1000;
const busy = account.nodes.reduce((sum, { ms, hereMs }) => sum + ms.compute / hereMs, 0) / nodes;

console.log(`${nodes} nodes, ${rounds} rounds of ${strategy}: ${verdict.status}, ${verdict.reason}`);
console.log(`  ${contributions} contributions in ${(virtualMs / 1000).toFixed(0)} s of virtual time, devices busy for ${(100 * busy).toFixed(0)} % of it`);
console.log(`  ${wallSeconds.toFixed(1)} s, ${((1e6 * wallSeconds) / contributions).toFixed(0)} µs a contribution; ${cpuSeconds.toFixed(1)} s of CPU`);
console.log(`  a million nodes × rounds take ${((1e6 * wallSeconds) / (nodes * rounds) / limitSeconds).toFixed(2)} × the limit of ${limitSeconds} s; ${Math.round(process.resourceUsage().maxRSS / 1024)} MiB at most`);
