import { createRng, type Job } from '@longtail/core';
import { epochOrder } from '@longtail/data';
import { expect, test } from 'vitest';
import { simulate } from './simulate.js';
import { batchesInOrder, batchesOf, relativeDistance, trainAlone } from './testing/pipelined.js';
import { eventsOf, job, model, scenario, unequalFleet } from './testing/scenarios.js';

/** The same training on one machine, of the batches in their order unless others are given. */
const alone = (run: Job, batches = batchesInOrder(run, model)): Float32Array => trainAlone(run, batches, model).parameters;

const together = job({ cluster: { minWorkers: 4 } });

test('four unequal workers train what one machine trains', async () => {
  const outcome = await simulate(scenario({ job: together }));
  expect(outcome.verdict).toMatchObject({ status: 'succeeded', samples: { applied: 1200, lost: 0 } });
  expect(outcome.steps).toBe(20);
  expect(relativeDistance(outcome.parameters, alone(together))).toBeLessThan(1e-5);
  const shares = eventsOf(outcome.events, 'shares')[0]!.shares;
  expect(Object.values(shares)).toEqual([27, 16, 11, 6]);
});

test('one worker alone, stepping for itself, trains the same', async () => {
  const outcome = await simulate(scenario({ fleet: [unequalFleet[0]!] }));
  expect(outcome.verdict).toMatchObject({ status: 'succeeded', samples: { applied: 1200, lost: 0 } });
  expect(outcome.steps).toBe(20);
  expect(relativeDistance(outcome.parameters, alone(job()))).toBeLessThan(1e-5);
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
  expect(relativeDistance(outcome.parameters, alone(long, batchesOf(outcome)))).toBeLessThan(1e-5);
});

test('local steps of one worker, taken over as they are, are the steps of one machine', async () => {
  const outer = { learningRate: 1, momentum: 0 };
  const local = job({ sync: { strategy: 'diloco', localSteps: 7, outer }, train: { epochs: 4 } });
  const outcome = await simulate(scenario({ job: local, fleet: [unequalFleet[0]!] }));
  expect(outcome.verdict).toMatchObject({ status: 'succeeded', samples: { applied: 2400, lost: 0 } });
  expect(outcome.steps).toBe(8); // 3 in each half of the run between two validations, 7 + 3 steps of a batch an epoch
  expect(relativeDistance(outcome.parameters, alone(local))).toBeLessThan(1e-5);
});

const sgd = { type: 'sgd', momentum: 0, nesterov: false, weightDecay: 0 } as const;

test.each([
  ['a lone worker', 1, {}],
  ['four workers', 4, {}],
  ['local steps', 1, { strategy: 'diloco', localSteps: 2, outer: { learningRate: 1, momentum: 0 } }],
] as const)('%s: a sample left over from the last batch moves the parameters as far as one within a batch', async (_who, workers, sync) => {
  const learningRate = 0.5;
  const trained = async (maxSamples: number): Promise<Float32Array> => {
    const train = { maxSamples, learningRate, optimizer: sgd, schedule: { type: 'constant' } } as const;
    const outcome = await simulate(scenario({ job: job({ train, sync, cluster: { minWorkers: workers } }), fleet: unequalFleet.slice(0, workers) }));
    expect(outcome.verdict.samples).toEqual({ applied: maxSamples, lost: 0 });
    return outcome.parameters;
  };
  const { batch, seed } = job().train;
  const whole = await trained(batch);
  const gradient = new Float32Array(whole.length);
  void model.gradient(whole, epochOrder(model.trainSamples, seed, 0).indices({ start: batch, end: batch + 1 }), gradient);
  expect(Math.hypot(...gradient)).toBeGreaterThan(0.1);
  const expected = whole.map((value, i) => value - (learningRate / batch) * gradient[i]!);
  expect(relativeDistance(await trained(batch + 1), expected)).toBeLessThan(1e-6);
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
  expect(relativeDistance(outcome.parameters, alone(joined))).toBeLessThan(1e-5);
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
  const clipped = job({
    cluster: { minWorkers: workers },
    train: { optimizer: sgd, clipNorm: 0.01, maxSamples: 60, schedule: { type: 'constant' }, learningRate: 1 },
  });
  const outcome = await simulate(scenario({ job: clipped, fleet: unequalFleet.slice(0, workers) }));
  const moved = outcome.parameters.map((value, i) => value - model.initial(3)[i]!);
  expect(Math.hypot(...moved)).toBeCloseTo(0.01, 6);
  expect(eventsOf(outcome.events, 'commit')[0]!.gradientNorm).toBeGreaterThan(0.1);
});
