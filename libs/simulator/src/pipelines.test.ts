import { createRng, type JobStage } from '@longtail/core';
import { expect, test } from 'vitest';
import { chain } from './chain.js';
import { simulate } from './simulate.js';
import { base, batchesInOrder, expectSameTraining, fleet, model, pipelined, randomLayout, randomWorkers, relativeDistance, three, trainAlone } from './testing/pipelined.js';
import { eventsOf, job, scenario } from './testing/scenarios.js';

test('a lone pipeline trains what one machine trains, in rounds', async () => {
  const run = pipelined([three], {}, { fleet: fleet('abc') });
  const outcome = await simulate(run);
  expectSameTraining(run, outcome);
  expect(eventsOf(outcome.events, 'layout')[0]).toMatchObject({
    groups: [{ group: 'p1', stages: [{ name: 'a', start: 0, end: 2 }, { name: 'b', start: 2, end: 5 }, { name: 'c', start: 5, end: 6 }] }],
    spares: [],
  });
  expect(eventsOf(outcome.events, 'commit').some(({ reason }) => reason.includes('local steps'))).toBe(false);
});

test('solo workers and pipelines of different length side by side, weighed by their samples', async () => {
  const two: readonly JobStage[] = [
    { workers: ['d'], blocks: 5 },
    { workers: ['e'], blocks: 1 },
  ];
  const run = pipelined([three, two, [{ workers: ['f'] }]]);
  const outcome = await simulate(run);
  expectSameTraining(run, outcome);
  const contributions = eventsOf(outcome.events, 'contribution');
  const first = contributions.filter(({ round }) => round === 1);
  expect(first.map(({ name, stage }) => [name, stage?.group, stage?.stage])).toEqual([
    ['a', 'p1', 0],
    ['b', 'p1', 1],
    ['c', 'p1', 2],
    ['d', 'p2', 0],
    ['e', 'p2', 1],
    ['f', undefined, undefined],
  ]);
  const counted = contributions.filter(({ accepted, stage }) => accepted && (stage?.stage ?? 0) === 0);
  expect(counted.reduce((sum, { samples }) => sum + samples, 0)).toBe(outcome.leases.applied);
});

test.each([1, 11, 21, 31])('random layouts, schedules, microbatches and links: the gradient is the single machine’s (seeds from %i)', async (from) => {
  for (let seed = from; seed < from + 10; seed++) {
    const rng = createRng(`layouts/${seed}`);
    const schedule = (['gpipe', '1f1b', 'capped-1f1b', 'zero-bubble', 'interleaved', 'interleaved'] as const)[rng.below(6)]!;
    const layout = randomLayout(rng, 1 + rng.below(3), schedule === 'interleaved');
    const workers = randomWorkers(rng, layout);
    const cluster = { schedule, microbatch: 1 + rng.below(20) };
    const clipNorm = rng.below(2) === 0 ? 0.5 : undefined;
    const train = { epochs: 1, batch: 20 + rng.below(50), clipNorm };
    const run = pipelined(layout, { cluster, train, sync: { minDeadlineMs: 5000 } }, { fleet: workers, seed });
    const outcome = await simulate(run).catch((error: unknown) => {
      throw new Error(`seed ${seed}: ${String(error)}`, { cause: error });
    });
    expect(outcome.verdict, `seed ${seed}: ${outcome.verdict.reason}`).toMatchObject({ status: 'succeeded', samples: { applied: model.trainSamples } });
    // A device that is asked to hold more microbatches than it was prepared for fails its task.
    expect(eventsOf(outcome.events, 'contribution').filter(({ accepted }) => !accepted), `seed ${seed}`).toEqual([]);
    if (clipNorm === undefined) {
      expect(relativeDistance(outcome.parameters, trainAlone(run.job, batchesInOrder(run.job)).parameters), `seed ${seed}`).toBeLessThan(1e-5);
    }
  }
}, 120_000);

test('loss curves of a pipeline and of one machine are equal over 50 steps', async () => {
  const run = pipelined([three], { train: { epochs: 9, batch: 40 } }, { fleet: fleet('abc') });
  const outcome = await simulate(run);
  expect(eventsOf(outcome.events, 'commit').length).toBeGreaterThan(50);
  expectSameTraining(run, outcome);
});

test('validation through a pipeline gives the whole model’s loss', async () => {
  const run = pipelined([three], {}, { fleet: fleet('abc') });
  const solo = await simulate(scenario({ ...base, job: job({ cluster: { minWorkers: 2 } }), fleet: fleet('ab') }));
  const outcome = await simulate(run);
  const [a, b] = [outcome, solo].map(({ events }) => eventsOf(events, 'validation'));
  expect(a!.map(({ samples }) => samples)).toEqual([40, 40]);
  for (const [i, { loss, accuracy }] of a!.entries()) {
    expect(loss / b![i]!.loss).toBeCloseTo(1, 5);
    expect(accuracy).toBe(b![i]!.accuracy);
  }
});

test('parameters drawn by stages are those that one machine draws, bit for bit', async () => {
  const still = { train: { maxSamples: 10, learningRate: 1e-30, optimizer: { type: 'sgd', momentum: 0, nesterov: false, weightDecay: 0 } as const } };
  const outcome = await simulate(pipelined([three], still, { fleet: fleet('abc') }));
  expect(outcome.parameters).toEqual(model.initial(3));
});

test('activations in half precision train nearly the same', async () => {
  const run = pipelined([three], { sync: { activationCodec: 'fp16' } }, { fleet: fleet('abc') });
  const outcome = await simulate(run);
  const distance = relativeDistance(outcome.parameters, trainAlone(run.job, batchesInOrder(run.job)).parameters);
  expect(distance).toBeGreaterThan(1e-7);
  expect(distance).toBeLessThan(2e-2);
});

test('activations as rows of int8 train nearly the same, at a quarter of the bytes', async () => {
  const wide = chain({ features: 6, width: 64, blocks: 6, trainSamples: 240, validationSamples: 40, seed: 11 });
  const [fp32, int8] = await Promise.all(
    (['fp32', 'int8'] as const).map((activationCodec) =>
      simulate(pipelined([three], { sync: { activationCodec }, train: { epochs: 6, learningRate: 0.005 } }, { model: wide, fleet: fleet('abc'), chunkLength: 300 })),
    ),
  );
  const [exact, coded] = [fp32!, int8!].map(({ events }) => eventsOf(events, 'commit').map(({ loss }) => loss));
  expect(exact!.at(-1)).toBeLessThan(0.02 * exact![0]!);
  coded!.forEach((loss, i) => expect(Math.abs(loss - exact![i]!)).toBeLessThan(0.01 * exact![0]!));
  expect(int8!.parameters).not.toEqual(fp32!.parameters);

  // Two cuts; of a training sample there and back, of a validation sample there.
  const validations = eventsOf(fp32!.events, 'validation').length;
  const values = 2 * 64 * (2 * 6 * 240 + validations * 40);
  const saved = fp32!.verdict.bytes.up - int8!.verdict.bytes.up;
  expect(1 - saved / (4 * values)).toBeCloseTo((64 + 4) / 256, 3);
});

test('the bound of the norm is that of the whole gradient, whatever its stages', async () => {
  const [alone] = eventsOf((await simulate(pipelined([three], {}, { fleet: fleet('abc') }))).events, 'commit');
  const verdictAt = async (factor: number, layout: readonly JobStage[], workers: string) => {
    const train = { epochs: 1, maxSamples: 60 };
    const outcome = await simulate(pipelined([layout], { train, sync: { maxNorm: factor * alone!.gradientNorm } }, { fleet: fleet(workers) }));
    const [first] = eventsOf(outcome.events, 'contribution').filter(({ reason }) => reason.includes('norm')).map(({ reason }) => reason);
    return first;
  };
  const replicas = three.map((stage, i) => (i === 1 ? { ...stage, workers: ['b', 'd'] } : stage));
  for (const [layout, workers] of [[three, 'abc'], [replicas, 'abcd']] as const) {
    expect(await verdictAt(1.001, layout, workers)).toBeUndefined();
    expect(await verdictAt(0.999, layout, workers)).toMatch(/norm .* exceeds the bound/);
  }
});

test.each<[string, readonly (readonly JobStage[])[], RegExp]>([
  ['too few blocks', [[{ workers: ['a'], blocks: 2 }, { workers: ['b'], blocks: 3 }]], /block 5 \(counted from 0\) of the group a \+ b is on no stage/],
  ['too few blocks on a solo worker', [[{ workers: ['a'], blocks: 5 }]], /block 5 \(counted from 0\) of the group a is on no stage/],
  ['too many blocks', [[{ workers: ['a'], blocks: 2 }, { workers: ['b'], blocks: 9 }]], /blocks 2 to 11 do not exist: the model has 6/],
  ['a worker that never comes', [[{ workers: ['a'], blocks: 2 }, { workers: ['z'], blocks: 4 }]], /the layout lacks worker z/],
])('%s: the run fails and says so', async (_what, layout, reason) => {
  const outcome = await simulate(pipelined(layout, { cluster: { waitMs: 3000 } }, { fleet: fleet('abc') }));
  expect(outcome.verdict.status).toBe('failed');
  expect(outcome.verdict.reason).toMatch(reason);
});
