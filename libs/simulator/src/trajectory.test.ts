import { createRng, type Job, type SampleRange } from '@longtail/core';
import { epochOrder } from '@longtail/data';
import { createOptimizer, learningRateAt } from '@longtail/kernels';
import { expect, test } from 'vitest';
import type { Outcome } from './scenario.js';
import { simulate } from './simulate.js';
import { eventsOf, job, model, scenario, unequalFleet } from './testing/scenarios.js';

/** Positions of a run's shuffled epochs, batch by batch, as one machine visits them. */
function batchesInOrder({ train }: Job): readonly (readonly SampleRange[])[] {
  const total = train.epochs * model.trainSamples;
  return Array.from({ length: Math.ceil(total / train.batch) }, (_, step) => {
    const positions = Array.from({ length: Math.min(train.batch, total - step * train.batch) }, (_, i) => step * train.batch + i);
    return positions.map((at) => ({
      epoch: Math.floor(at / model.trainSamples),
      start: at % model.trainSamples,
      end: (at % model.trainSamples) + 1,
    }));
  });
}

/** The batches that a run applied, in its order. */
function batchesOf({ ledger }: Outcome): readonly (readonly SampleRange[])[] {
  return ledger.flatMap(({ local, leases }) => (local ? leases.map(({ ranges }) => ranges) : [leases.flatMap(({ ranges }) => ranges)]));
}

/** The same training on one machine, without Longtail. */
function trainAlone({ train }: Job, batches: readonly (readonly SampleRange[])[]): Float32Array {
  const parameters = model.initial(train.seed);
  const optimizer = createOptimizer({ length: parameters.length, optimizer: train.optimizer, implementation: 'reference' });
  const steps = Math.ceil((train.epochs * model.trainSamples) / train.batch);
  let applied = 0;
  for (const ranges of batches) {
    const samples = ranges.flatMap((range) => [...epochOrder(model.trainSamples, train.seed, range.epoch).indices(range)]);
    const gradient = new Float32Array(parameters.length);
    void model.gradient(parameters, Int32Array.from(samples), gradient);
    const learningRate = learningRateAt(train.schedule, train.learningRate, Math.floor(applied / train.batch), steps);
    optimizer.step(
      parameters,
      gradient.map((value) => value / samples.length),
      { learningRate },
    );
    applied += samples.length;
  }
  return parameters;
}

function relativeDistance(a: Float32Array, b: Float32Array): number {
  const norm = (v: Float32Array) => Math.sqrt(v.reduce((sum, x) => sum + x * x, 0));
  return norm(a.map((value, i) => value - b[i]!)) / norm(b);
}

const together = job({ cluster: { minWorkers: 4 } });

test('four unequal workers train what one machine trains', async () => {
  const outcome = await simulate(scenario({ job: together }));
  expect(outcome.verdict).toMatchObject({ status: 'succeeded', samples: { applied: 1200, lost: 0 } });
  expect(outcome.steps).toBe(20);
  expect(relativeDistance(outcome.parameters, trainAlone(together, batchesInOrder(together)))).toBeLessThan(1e-5);
  const shares = eventsOf(outcome.events, 'shares')[0]!.shares;
  expect(Object.values(shares)).toEqual([27, 16, 11, 6]);
});

test('one worker alone, stepping for itself, trains the same', async () => {
  const outcome = await simulate(scenario({ fleet: [unequalFleet[0]!] }));
  expect(outcome.verdict).toMatchObject({ status: 'succeeded', samples: { applied: 1200, lost: 0 } });
  expect(outcome.steps).toBe(20);
  expect(relativeDistance(outcome.parameters, trainAlone(job(), batchesInOrder(job())))).toBeLessThan(1e-5);
});

test.each([
  ['sgd', { type: 'sgd', momentum: 0, nesterov: false, weightDecay: 0.01 }],
  ['momentum', { type: 'sgd', momentum: 0.9, nesterov: true, weightDecay: 0 }],
  ['adamw', { type: 'adam', beta1: 0.9, beta2: 0.99, epsilon: 1e-8, weightDecay: 0.01, decoupled: true }],
] as const)('%s: a worker that comes and goes changes how steps are taken, not where they lead', async (_name, optimizer) => {
  const long = job({ train: { optimizer, epochs: 8 } });
  // alone – together – alone – together: b joins, leaves and comes back while a works on.
  const [a, b] = [
    { name: 'a', samplesPerSecond: 1000 },
    { name: 'b', samplesPerSecond: 800, joinAtMs: 700 },
  ];
  const outcome = await simulate(scenario({ job: long, fleet: [a, b], faults: [{ kind: 'cut', worker: 'b', atMs: 1500 }] }));
  expect(outcome.verdict).toMatchObject({ status: 'succeeded', samples: { applied: 4800, lost: 0 } });
  const kinds = eventsOf(outcome.events, 'commit').map(({ reason }) => (reason.includes('local steps') ? 'solo' : 'group'));
  const switches = kinds.filter((kind, i) => kind !== kinds[i - 1]);
  expect(switches.slice(0, 4)).toEqual(['solo', 'group', 'solo', 'group']);
  expect(relativeDistance(outcome.parameters, trainAlone(long, batchesOf(outcome)))).toBeLessThan(1e-5);
});

test('local steps of one worker, taken over as they are, are the steps of one machine', async () => {
  const outer = { learningRate: 1, momentum: 0 };
  const local = job({ sync: { strategy: 'diloco', localSteps: 7, outer }, train: { epochs: 4 } });
  const outcome = await simulate(scenario({ job: local, fleet: [unequalFleet[0]!] }));
  expect(outcome.verdict).toMatchObject({ status: 'succeeded', samples: { applied: 2400, lost: 0 } });
  expect(outcome.steps).toBe(8); // 3 in each half of the run between two validations, 7 + 3 steps of a batch an epoch
  expect(relativeDistance(outcome.parameters, trainAlone(local, batchesInOrder(local)))).toBeLessThan(1e-5);
});

test('a worker that joins a lone one in mid-grant does not change the order of the samples', async () => {
  const joined = job({ train: { epochs: 8 } });
  const outcome = await simulate(
    scenario({
      job: joined,
      fleet: [
        { name: 'a', samplesPerSecond: 1000 },
        { name: 'b', samplesPerSecond: 700, joinAtMs: 1234 },
      ],
    }),
  );
  const kinds = outcome.ledger.map(({ local }) => local);
  expect(kinds.slice(0, -1).some((local, i) => local && !kinds[i + 1])).toBe(true);
  expect(relativeDistance(outcome.parameters, trainAlone(joined, batchesInOrder(joined)))).toBeLessThan(1e-5);
});

test('a replay with the same seed gives the same bits and the same history, another fleet other bits', async () => {
  const rng = createRng(5);
  const noisy = scenario({
    job: job({ train: { epochs: 4 } }),
    fleet: unequalFleet.map((worker) => ({ ...worker, joinAtMs: rng.below(600) })),
    faults: [
      { kind: 'slow', worker: 'b', atMs: 700, forMs: 500, factor: 30 },
      { kind: 'cut', worker: 'c', atMs: 900 },
    ],
  });
  const [first, second] = [await simulate(noisy), await simulate(noisy)];
  expect(new Uint8Array(second.parameters.buffer)).toEqual(new Uint8Array(first.parameters.buffer));
  expect(second.events).toEqual(first.events);
  const other = await simulate({ ...noisy, fleet: unequalFleet.slice(0, 2), faults: [] });
  expect(other.parameters).not.toEqual(first.parameters);
});

test('fp16 on the wire trains nearly the same for half the bytes', async () => {
  const half = await simulate(scenario({ job: job({ cluster: { minWorkers: 4 }, sync: { codec: 'fp16' } }) }));
  const full = await simulate(scenario({ job: together }));
  expect(relativeDistance(half.parameters, full.parameters)).toBeGreaterThan(0);
  expect(relativeDistance(half.parameters, full.parameters)).toBeLessThan(1e-2);
  expect(half.verdict.bytes.up).toBeLessThan(full.verdict.bytes.up);
});

test.each([4, 1])('clipping bounds the mean gradient of the whole batch, as on one machine (%i workers)', async (workers) => {
  const sgd = { type: 'sgd', momentum: 0, nesterov: false, weightDecay: 0 } as const;
  const clipped = job({
    cluster: { minWorkers: workers },
    train: { optimizer: sgd, clipNorm: 0.01, maxSamples: 60, schedule: { type: 'constant' }, learningRate: 1 },
  });
  const outcome = await simulate(scenario({ job: clipped, fleet: unequalFleet.slice(0, workers) }));
  const moved = outcome.parameters.map((value, i) => value - model.initial(3)[i]!);
  expect(Math.hypot(...moved)).toBeCloseTo(0.01, 6);
  expect(eventsOf(outcome.events, 'commit')[0]!.gradientNorm).toBeGreaterThan(0.1);
});
