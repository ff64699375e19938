// A million mutated frames and control messages of each codec against the server's runtime, in virtual time: no crash, no unhandled
// rejection, no growth, every sample applied once, and the parameters of each version are those of the accepted contributions, bit for bit.
//   node --expose-gc benchmarks/simulator/fuzz.mjs [--mutants 1000000] [--codec NAME]… [--seed 1]
// Prints the seed that failed: `--seed N --mutants 1 --codec NAME` runs it alone.
import { parseArgs } from 'node:util';
import { CODEC_IDS } from '@longtail/kernels';
import { SentContributions, simulate, softmaxRegression } from '@longtail/simulator';

const { values: options } = parseArgs({
  options: { mutants: { type: 'string', default: '1000000' }, codec: { type: 'string', multiple: true }, seed: { type: 'string', default: '1' } },
});
const model = softmaxRegression({ features: 12, classes: 3, trainSamples: 600, validationSamples: 12, seed: 7 });
const fleet = ['a', 'b', 'c'].map((name, i) => ({ name, samplesPerSecond: 1000 - 200 * i }));
const faults = [{ kind: 'fuzz', worker: 'c', each: 200 }];

/** @param {string} codec @param {number} seed */
function scenarioOf(codec, seed) {
  const sgd = { type: 'sgd', momentum: 0.9, nesterov: false, weightDecay: 0 };
  return {
    model,
    fleet,
    faults,
    seed,
    job: {
      name: 'fuzz',
      model: { type: 'mlp', input: 12, hidden: [], outputs: 3 },
      loss: 'cross-entropy',
      data: { type: 'mnist' },
      train: { epochs: 3, maxSamples: undefined, batch: 60, optimizer: sgd, learningRate: 0.05, schedule: { type: 'constant' }, clipNorm: undefined, seed },
      validation: { everyEpochs: 1, maxSamples: undefined },
      sync: { strategy: 'bsp', deadlineFactor: 3, minDeadlineMs: 200, codec, topK: { density: 0.25, values: 'int8', selection: 'exact' }, maxNorm: undefined },
      cluster: { minWorkers: 2, waitMs: 10_000, engine: undefined },
      checkpoint: { everyMs: 1000 },
    },
  };
}

/** Of the heap, after all that can go has gone. */
const heapMiB = () => {
  globalThis.gc?.();
  return process.memoryUsage().heapUsed / 2 ** 20;
};

process.on('unhandledRejection', (error) => {
  console.error('unhandled rejection', error);
  process.exit(1);
});

for (const codec of options.codec ?? Object.keys(CODEC_IDS)) {
  const total = { mutated: 0, wellFormed: 0, refused: 0, runs: 0 };
  const startedMs = performance.now();
  let baseMiB = 0;
  for (let seed = Number(options.seed); total.mutated < Number(options.mutants); seed++) {
    const sent = new SentContributions();
    const scenario = { ...scenarioOf(codec, seed), ...sent.hooks };
    const { verdict, fuzzed, events, ledger, leases } = await simulate(scenario);
    const applied = ledger.flatMap((commit) => commit.leases).reduce((sum, { samples }) => sum + samples, 0);
    if (verdict.status !== 'succeeded' || applied !== 1800 || leases.leased !== 0) throw new Error(`${codec}, seed ${seed}: ${verdict.reason}`);
    const changed = sent.firstDifference(scenario, events);
    if (changed !== undefined) throw new Error(`${codec}, seed ${seed}: ${changed}`);
    total.mutated += fuzzed.mutated;
    total.wellFormed += fuzzed.wellFormed;
    total.refused += events.filter(({ body }) => body.event === 'contribution' && !body.accepted).length;
    if (++total.runs === 20) baseMiB = heapMiB();
  }
  const grownMiB = total.runs > 20 ? (heapMiB() - baseMiB).toFixed(1) : '?';
  const seconds = ((performance.now() - startedMs) / 1000).toFixed(0);
  console.log(`${codec}: ${total.mutated} mutants in ${total.runs} jobs, ${total.wellFormed} well-formed, ${total.refused} contributions refused; heap + ${grownMiB} MiB after the 20th; ${seconds} s`);
}
