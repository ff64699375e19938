import { createRng, type Job, type JobStage, type LayoutPlan, type Rng, type SampleRange } from '@longtail/core';
import { epochOrder } from '@longtail/data';
import { createOptimizer, learningRateAt } from '@longtail/kernels';
import { expect, test } from 'vitest';
import { chain } from './chain.js';
import type { Fault } from './faults.js';
import { simulate, type Outcome, type Scenario, type SimulatedWorker } from './simulate.js';
import { eventsOf, job, scenario, type JobChanges } from './testing/scenarios.js';

const model = chain({ features: 6, width: 5, blocks: 6, trainSamples: 240, validationSamples: 40, seed: 11 });

const fleet = (names: string): readonly SimulatedWorker[] => [...names].map((name, i) => ({ name, samplesPerSecond: 1000 - 100 * i }));

function workersOf(layout: readonly (readonly JobStage[])[]): readonly string[] {
  return [...new Set(layout.flat().flatMap(({ workers }) => workers.map(String)))];
}

function pipelined(layout: readonly (readonly JobStage[])[], changes: JobChanges = {}, rest: Partial<Scenario> = {}): Scenario {
  const cluster = { minWorkers: workersOf(layout).length, layout, microbatch: 7, ...changes.cluster };
  return scenario({ ...base, job: job({ ...changes, cluster }), ...rest });
}

const base = { model, fleet: fleet('abcdef') };
const three: readonly JobStage[] = [
  { workers: ['a'], blocks: 2 },
  { workers: ['b'], blocks: 3 },
  { workers: ['c'], blocks: 1 },
];

/** Positions of a run's shuffled epochs, batch by batch, as one machine visits them. */
function batchesInOrder({ train }: Job): readonly (readonly SampleRange[])[] {
  const total = train.epochs * model.trainSamples;
  return Array.from({ length: Math.ceil(total / train.batch) }, (_, step) => {
    const from = step * train.batch;
    return Array.from({ length: Math.min(train.batch, total - from) }, (_, i) => {
      const start = (from + i) % model.trainSamples;
      return { epoch: Math.floor((from + i) / model.trainSamples), start, end: start + 1 };
    });
  });
}

/** The batches that a run applied, in its order: each local step is one of its own. */
function batchesOf({ ledger }: Outcome): readonly (readonly SampleRange[])[] {
  return ledger.flatMap(({ local, leases }) => (local ? leases.map(({ ranges }) => ranges) : [leases.flatMap(({ ranges }) => ranges)]));
}

/** The same training on one machine, without Longtail. */
function trainAlone({ train }: Job, batches: readonly (readonly SampleRange[])[]): { parameters: Float32Array; losses: number[] } {
  const parameters = model.initial(train.seed);
  const optimizer = createOptimizer({ length: parameters.length, optimizer: train.optimizer, implementation: 'reference' });
  const steps = Math.ceil((train.epochs * model.trainSamples) / train.batch);
  const losses: number[] = [];
  let applied = 0;
  for (const ranges of batches) {
    const samples = ranges.flatMap((range) => [...epochOrder(model.trainSamples, train.seed, range.epoch).indices(range)]);
    const gradient = new Float32Array(parameters.length);
    const stats = model.gradient(parameters, Int32Array.from(samples), gradient) as { lossSum: number };
    losses.push(stats.lossSum / samples.length);
    const learningRate = learningRateAt(train.schedule, train.learningRate, Math.floor(applied / train.batch), steps);
    optimizer.step(
      parameters,
      gradient.map((value) => value / samples.length),
      { learningRate },
    );
    applied += samples.length;
  }
  return { parameters, losses };
}

function relativeDistance(a: Float32Array, b: Float32Array): number {
  const norm = (v: Float32Array) => Math.sqrt(v.reduce((sum, x) => sum + x * x, 0));
  return norm(a.map((value, i) => value - b[i]!)) / norm(b);
}

function expectSameTraining(run: Scenario, outcome: Outcome, batches = batchesInOrder(run.job)): void {
  const total = run.job.train.epochs * model.trainSamples;
  expect(outcome.verdict, outcome.verdict.reason).toMatchObject({ status: 'succeeded', samples: { applied: total, lost: 0 } });
  const alone = trainAlone(run.job, batches);
  expect(relativeDistance(outcome.parameters, alone.parameters)).toBeLessThan(1e-5);
  const losses = eventsOf(outcome.events, 'commit').map(({ loss }) => loss);
  expect(losses).toHaveLength(alone.losses.length);
  for (const [i, loss] of losses.entries()) expect(loss / alone.losses[i]!).toBeCloseTo(1, 5);
}

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

/** Groups of up to four stages, some of them with up to three replicas, or interleaved of up to three workers with two or three stages each. */
function randomLayout(rng: Rng, interleaved: boolean): readonly (readonly JobStage[])[] {
  let names = 0;
  const crew = (count: number) => Array.from({ length: count }, () => `w${names++}`);
  return Array.from({ length: 1 + rng.below(3) }, () => {
    const plain = 1 + rng.below(4);
    const turns = rng.below(4) === 0 ? undefined : { workers: crew(2 + rng.below(2)), chunks: 2 + rng.below(2) };
    const stages = !interleaved ? plain : turns === undefined ? 1 : Math.min(model.blocks!.count, turns.workers.length * turns.chunks);
    const cuts = [...Array.from({ length: model.blocks!.count - 1 }, (_, i) => i + 1)].sort(() => rng.uniform() - 0.5);
    const borders = [0, ...cuts.slice(0, stages - 1).sort((a, b) => a - b), model.blocks!.count];
    return Array.from({ length: stages }, (_, i) => {
      const replicas = stages > 1 && rng.below(3) === 0 ? 2 + rng.below(2) : 1;
      const workers = interleaved && turns !== undefined ? [turns.workers[i % turns.workers.length]!] : crew(replicas);
      return { workers, blocks: borders[i + 1]! - borders[i]! };
    });
  });
}

function randomWorkers(rng: Rng, layout: readonly (readonly JobStage[])[]): readonly SimulatedWorker[] {
  return workersOf(layout).map((name) => ({
    name,
    samplesPerSecond: 100 + rng.below(2000),
    overheadMs: rng.uniform(),
    link: { upBitsPerSecond: 1e6 * (1 + rng.below(50)), downBitsPerSecond: 1e7, rttMs: 1 + rng.below(60) },
    peers: (['listens', 'dials', undefined] as const)[rng.below(3)],
  }));
}

test.each([1, 11, 21, 31])('random layouts, schedules, microbatches and links: the gradient is the single machine’s (seeds from %i)', async (from) => {
  for (let seed = from; seed < from + 10; seed++) {
    const rng = createRng(`layouts/${seed}`);
    const schedule = (['gpipe', '1f1b', 'capped-1f1b', 'zero-bubble', 'interleaved', 'interleaved'] as const)[rng.below(6)]!;
    const layout = randomLayout(rng, schedule === 'interleaved');
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

const replicated: readonly JobStage[] = [
  { workers: ['a'], blocks: 2 },
  { workers: ['b', 'c', 'd'], blocks: 3 },
  { workers: ['e'], blocks: 1 },
];

test('replicas of a stage share its microbatches by their speed, and each brings its part of the gradient home', async () => {
  const speeds: Readonly<Record<string, number>> = { b: 600, c: 300, d: 300 };
  const workers = [...'abcde'].map((name): SimulatedWorker => ({ name, samplesPerSecond: speeds[name] ?? 1000, overheadMs: 0 }));
  const run = pipelined([replicated], { cluster: { microbatch: 1 } }, { fleet: workers });
  const outcome = await simulate(run);
  expectSameTraining(run, outcome);
  const first = eventsOf(outcome.events, 'contribution').filter(({ round }) => round === 1);
  expect(first.map(({ name, stage, samples }) => [name, stage?.stage, samples])).toEqual([
    ['a', 0, 60],
    ['b', 1, 30],
    ['c', 1, 15],
    ['d', 1, 15],
    ['e', 2, 60],
  ]);
  expect(eventsOf(outcome.events, 'layout')[0]!.groups[0]!.stages.map(({ name, start, end }) => [name, start, end])).toEqual([
    ['a', 0, 2],
    ['b', 2, 5],
    ['c', 2, 5],
    ['d', 2, 5],
    ['e', 5, 6],
  ]);
});

test('three replicas make a stage that is three times too slow as fast as its neighbours', async () => {
  // A device's pace is for the whole model: a sixth of it, half of it and a sixth again.
  const roundMs = async (layout: readonly JobStage[]) => {
    const workers = workersOf([layout]).map((name): SimulatedWorker => ({ name, samplesPerSecond: 10, overheadMs: 0 }));
    const even = layout.map((stage, i) => ({ ...stage, blocks: [1, 3, 2][i]! }));
    const changes = { cluster: { microbatch: 1 }, train: { batch: 48, epochs: 1 }, sync: { minDeadlineMs: 60_000 }, validation: { everyEpochs: 10 } };
    const outcome = await simulate(pipelined([even], changes, { fleet: workers }));
    return eventsOf(outcome.events, 'commit')[0]!.roundMs;
  };
  const [one, three] = [await roundMs([{ workers: ['a'] }, { workers: ['b'] }, { workers: ['c'] }]), await roundMs([{ workers: ['a'] }, { workers: ['b', 'd', 'e'] }, { workers: ['c', 'f'] }])];
  // 48 microbatches at 50 ms against 48 at 100 / 6 ms.
  expect(one).toBeGreaterThan(48 * 50);
  expect(three).toBeGreaterThan((48 * 100) / 6);
  expect(three).toBeLessThan(1.15 * ((48 * 100) / 6) + 100);
});

test('a replica without a microbatch brings nothing home, and the others go on', async () => {
  const run = pipelined([replicated], { cluster: { microbatch: 60 } }, { fleet: fleet('abcde') });
  const outcome = await simulate(run);
  expectSameTraining(run, outcome);
  const idle = eventsOf(outcome.events, 'contribution').filter(({ name }) => name === 'c' || name === 'd');
  expect(new Set(idle.map(({ samples }) => samples))).toEqual(new Set([0]));
});

test.each<Extract<Fault, { worker: string; atMs: number }>>([
  { kind: 'kill', worker: 'c', atMs: 340 },
  { kind: 'leave', worker: 'b', atMs: 340 },
  { kind: 'fail', worker: 'd', atMs: 340 },
])('a replica that is lost in mid-run ($kind $worker): the group is formed again, no sample is lost', async (fault) => {
  const run = pipelined([replicated], { train: { epochs: 4 } }, { fleet: fleet('abcdef'), faults: [fault] });
  const outcome = await simulate(run);
  expect(outcome.fired).toContain(fault);
  expectSameTraining(run, outcome);
  const names = eventsOf(outcome.events, 'layout').at(-1)!.groups[0]!.stages.map(({ name }) => name);
  expect(names).toEqual([...'abcde'].map((name) => (name === fault.worker && fault.kind !== 'fail' ? 'f' : name)));
  expect(eventsOf(outcome.events, 'contribution').filter(({ accepted }) => !accepted).map(({ name }) => name)).toEqual([...'abcde']);
  expect(eventsOf(outcome.events, 'lease_returned')).toHaveLength(1);
});

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

const lost: readonly Extract<Fault, { worker: string; atMs: number }>[] = [
  { kind: 'kill', worker: 'b', atMs: 300 },
  { kind: 'leave', worker: 'a', atMs: 300 },
  { kind: 'kill', worker: 'c', atMs: 300 },
];

test.each(lost)('a stage that is lost ($kind $worker) is replaced by a spare; nothing is lost or done twice', async (fault) => {
  const run = pipelined([three], { train: { epochs: 4 } }, { fleet: fleet('abcd'), faults: [fault] });
  const outcome = await simulate(run);
  expect(outcome.fired).toContain(fault);
  expectSameTraining(run, outcome);
  const layouts = eventsOf(outcome.events, 'layout');
  expect(layouts.at(-1)!.groups[0]!.stages.map(({ name }) => name)).toEqual([...'abc'].map((name) => (name === fault.worker ? 'd' : name)));
  const refused = eventsOf(outcome.events, 'contribution').filter(({ accepted }) => !accepted);
  expect(refused.map(({ name }) => name)).toEqual(['a', 'b', 'c']);
  expect(eventsOf(outcome.events, 'lease_returned')).toHaveLength(1);
});

test('without a spare the solo workers go on, and the pipeline is there again when its worker is', async () => {
  const cut: Fault = { kind: 'cut', worker: 'b', atMs: 300 };
  const run = pipelined([three, [{ workers: ['d'] }]], { train: { epochs: 12 } }, { fleet: fleet('abcd'), faults: [cut] });
  const outcome = await simulate(run);
  expect(outcome.verdict).toMatchObject({ status: 'succeeded', samples: { applied: 12 * model.trainSamples, lost: 0 } });
  expect(relativeDistance(outcome.parameters, trainAlone(run.job, batchesOf(outcome)).parameters)).toBeLessThan(1e-5);
  const rounds = new Map<number, string[]>();
  for (const { round, name, accepted } of eventsOf(outcome.events, 'contribution')) {
    if (accepted) rounds.set(round, [...(rounds.get(round) ?? []), name]);
  }
  const shapes = [...rounds.values()].map((names) => names.sort().join(''));
  expect(shapes.filter((shape, i) => shape !== shapes[i - 1])).toEqual(['abcd', 'd', 'abcd']);
});

test('a solo worker that is left over from a broken layout steps for itself', async () => {
  const kill: Fault = { kind: 'kill', worker: 'b', atMs: 300 };
  const run = pipelined([three, [{ workers: ['d'] }]], { train: { epochs: 12 } }, { fleet: fleet('abcd'), faults: [kill] });
  const outcome = await simulate(run);
  expect(outcome.verdict).toMatchObject({ status: 'succeeded', samples: { applied: 12 * model.trainSamples, lost: 0 } });
  expect(relativeDistance(outcome.parameters, trainAlone(run.job, batchesOf(outcome)).parameters)).toBeLessThan(1e-5);
  const refused = eventsOf(outcome.events, 'contribution').filter(({ accepted }) => !accepted);
  expect(refused.map(({ name }) => name)).toEqual(['a', 'b', 'c']);
  expect(eventsOf(outcome.events, 'commit').at(-1)!.reason).toContain('local steps of d');
});

test('a pipeline without a spare waits for its worker, then the run fails with what was learnt', async () => {
  const run = pipelined([three], { train: { epochs: 12 } }, { fleet: fleet('abc'), faults: [{ kind: 'kill', worker: 'b', atMs: 400 }] });
  const outcome = await simulate(run);
  expect(outcome.verdict).toMatchObject({ status: 'failed', model: 'memory:model', error: { code: 'timeout' } });
  expect(outcome.verdict.reason).toContain('the layout lacks worker b');
});

test('a device that fails a pass gives the group’s samples back once', async () => {
  const fail: Fault = { kind: 'fail', worker: 'b', atMs: 300 };
  const run = pipelined([three], { train: { epochs: 4 } }, { fleet: fleet('abc'), faults: [fail] });
  const outcome = await simulate(run);
  expect(outcome.fired).toContain(fail);
  expectSameTraining(run, outcome);
  const refused = eventsOf(outcome.events, 'contribution').filter(({ accepted }) => !accepted);
  expect(refused).toMatchObject(['a', 'b', 'c'].map((name) => ({ name, reason: 'b, stage 1 of p1: the device gave up' })));
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

const turns = [2, 1, 2, 1].map((blocks, i): JobStage => ({ workers: ['ab'[i % 2]!], blocks }));
const sixTurns = [1, 1, 1, 1, 1, 1].map((blocks, i): JobStage => ({ workers: ['abc'[i % 3]!], blocks }));

test.each([
  ['of two workers', turns, 'ab'],
  ['of three workers', sixTurns, 'abc'],
])('an interleaved pipeline %s, two stages on each, trains what one machine trains', async (_what, layout, names) => {
  const run = pipelined([layout], { cluster: { schedule: 'interleaved', microbatch: 7 } }, { fleet: fleet(names) });
  const outcome = await simulate(run);
  expectSameTraining(run, outcome);
  const first = eventsOf(outcome.events, 'contribution').filter(({ round }) => round === 1);
  const stages = layout.length;
  expect(first.map(({ name, samples, stage }) => [name, samples, stage])).toEqual(
    [...names].map((name, i) => [name, 60, { group: 'p1', stage: i, stages, held: stages / names.length }]),
  );
});

test('interleaving shortens the fill of a pipeline by the number of stages that a worker holds', async () => {
  const fill = 3; // microbatches
  const roundMs = async (schedule: '1f1b' | 'interleaved', layout: readonly JobStage[]) => {
    const changes = { cluster: { schedule, microbatch: 1 }, train: { batch: fill, epochs: 1 }, validation: { everyEpochs: 10 } };
    const workers = fleet('abc').map((worker) => ({ ...worker, samplesPerSecond: 10, overheadMs: 0 }));
    const outcome = await simulate(pipelined([layout], { ...changes, sync: { minDeadlineMs: 60_000 } }, { fleet: workers }));
    return eventsOf(outcome.events, 'commit')[0]!.roundMs;
  };
  const plain = await roundMs('1f1b', [2, 2, 2].map((blocks, i) => ({ workers: ['abc'[i]!], blocks })));
  const interleaved = await roundMs('interleaved', sixTurns);
  // A worker's whole is 33 ms a microbatch: (m + p − 1) of them against m + (p − 1) / 2.
  expect(plain).toBeGreaterThan(((fill + 2) * 100) / 3);
  expect(interleaved).toBeGreaterThan(((fill + 1) * 100) / 3);
  expect(plain - interleaved).toBeCloseTo(100 / 3, -1);
});

test.each<Extract<Fault, { worker: string; atMs: number }>>([
  { kind: 'kill', worker: 'a', atMs: 340 },
  { kind: 'leave', worker: 'b', atMs: 340 },
  { kind: 'fail', worker: 'b', atMs: 340 },
])('a worker of several stages that is lost ($kind $worker): a spare takes all of them, no sample is lost', async (fault) => {
  const changes = { train: { epochs: 4 }, cluster: { schedule: 'interleaved', microbatch: 7 } } as const;
  const run = pipelined([turns], changes, { fleet: fleet('abc'), faults: [fault] });
  const outcome = await simulate(run);
  expect(outcome.fired).toContain(fault);
  expectSameTraining(run, outcome);
  const names = eventsOf(outcome.events, 'layout').at(-1)!.groups[0]!.stages.map(({ name }) => name);
  expect(names).toEqual([...'abab'].map((name) => (name === fault.worker && fault.kind !== 'fail' ? 'c' : name)));
  expect(eventsOf(outcome.events, 'contribution').filter(({ accepted }) => !accepted).map(({ name }) => name)).toEqual([...'ab']);
  expect(eventsOf(outcome.events, 'lease_returned')).toHaveLength(1);
});

test.each([
  ['1f1b', turns, /the schedule 1f1b has 1 stages a worker, a \+ b hold 2/],
  ['interleaved', turns.slice(0, 3), /stage s must be on worker s mod p alone: that of a \+ b is another layout/],
  ['interleaved', [turns[1]!, turns[1]!, turns[0]!, turns[0]!], /stage s must be on worker s mod p alone/],
] as const)('%s on workers in another order than its own: the run fails and says so', async (schedule, layout, message) => {
  const outcome = await simulate(pipelined([layout], { cluster: { schedule } }, { fleet: fleet('ab') }));
  expect(outcome.verdict).toMatchObject({ status: 'failed', error: { code: 'usage', message: expect.stringMatching(message) as string } });
});

const direct = fleet('abc').map((worker, i): SimulatedWorker => ({ ...worker, peers: i === 1 ? 'listens' : 'dials' }));

test('neighbours that reach each other send activations past the server', async () => {
  const run = pipelined([three], {}, { fleet: direct });
  const outcome = await simulate(run);
  expectSameTraining(run, outcome);
  const relayed = await simulate({ ...run, fleet: fleet('abc') });
  expect(outcome.parameters).toEqual(relayed.parameters);
  expect(outcome.verdict.bytes.up).toBeLessThan(0.8 * relayed.verdict.bytes.up);
  // The verdict names it apart: five values a sample over two cuts, there and back, and there at most for each validated one.
  const passed = 4 * 5 * 2 * 2 * run.job.train.epochs * model.trainSamples;
  const validated = eventsOf(outcome.events, 'validation').length * model.validationSamples;
  expect(outcome.verdict.bytes.direct).toBeGreaterThan(passed);
  expect(outcome.verdict.bytes.direct).toBeLessThanOrEqual(passed + 4 * 5 * 2 * validated);
  expect(relayed.verdict.bytes.direct).toBe(0);
  // Contributions count it all the same.
  for (const way of ['bytesUp', 'bytesDown'] as const) {
    const counted = eventsOf(outcome.events, 'contribution').reduce((sum, contribution) => sum + contribution[way], 0);
    const server = outcome.verdict.bytes[way === 'bytesUp' ? 'up' : 'down'];
    expect(counted).toBeGreaterThan(passed + server / 2);
    expect(counted).toBeLessThanOrEqual(passed + server);
  }
});

test('when direct links break in mid-round, tensors go through the server and none is missed', async () => {
  const faults = [320, 333, 341, 357].map((atMs): Fault => ({ kind: 'cut-peers', worker: 'b', atMs }));
  for (const fault of faults) {
    const run = pipelined([three], { train: { epochs: 3 } }, { fleet: direct, faults: [fault] });
    const outcome = await simulate(run);
    expectSameTraining(run, outcome);
    expect(eventsOf(outcome.events, 'contribution').every(({ accepted }) => accepted)).toBe(true);
  }
});

test('a layout that moves a worker which steps for itself first lets it come home', async () => {
  const cuts = [{ start: 0, end: 4 }, { start: 4, end: 6 }];
  const layout: LayoutPlan = ({ nodes }) => {
    const rhythm = { microbatch: 5, schedule: '1f1b' } as const;
    const [a, b] = nodes;
    const groups =
      b === undefined
        ? nodes.map(({ node }) => ({ ...rhythm, stages: [{ blocks: 'all' as const, nodes: [node] }] }))
        : [{ ...rhythm, stages: [a!, b].map(({ node }, i) => ({ blocks: cuts[i]!, nodes: [node] })) }];
    return { groups, lacks: undefined, reason: 'two are better' };
  };
  const [a, b] = fleet('ab');
  const long = job({ train: { epochs: 20 } });
  const outcome = await simulate(scenario({ ...base, job: long, fleet: [a!, { ...b!, joinAtMs: 1500 }], layout }));
  expect(outcome.verdict).toMatchObject({ status: 'succeeded', samples: { applied: 20 * model.trainSamples, lost: 0 } });
  expect(relativeDistance(outcome.parameters, trainAlone(long, batchesOf(outcome)).parameters)).toBeLessThan(1e-5);
  const kinds = eventsOf(outcome.events, 'commit').map(({ reason }) => (reason.includes('local steps') ? 'local' : 'round'));
  expect(kinds.filter((kind, i) => kind !== kinds[i - 1])).toEqual(['local', 'round']);
});
