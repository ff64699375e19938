import type { Job, ModelProfile, RunEvent, RunEventName } from '@longtail/core';
import { chain, simulate, type Fault, type Outcome, type Scenario, type SimulatedWorker } from '@longtail/simulator';
import { expect, test } from 'vitest';
import { plannedLayout } from './planned-layout.js';

const model = chain({ features: 6, width: 5, blocks: 6, trainSamples: 240, validationSamples: 40, seed: 11 });

/** Of the same blocks, but of a megabyte of parameters each: a worker that offers 22 MiB holds four of the six. */
const profile: ModelProfile = {
  name: 'six',
  inputBytes: 24,
  blocks: Array.from({ length: 6 }, (_, i) => ({
    name: `block${i}`,
    parameters: 250_000,
    tied: [],
    forwardFlops: 1e9,
    backwardFlops: 2e9,
    outputBytes: 20,
    stashBytes: 40,
    cutAfter: i < 5,
  })),
};

const job: Job = {
  name: 'six',
  model: { type: 'mlp', input: 6, hidden: [], outputs: 6 },
  loss: 'cross-entropy',
  data: { type: 'mnist' },
  train: {
    epochs: 30,
    maxSamples: undefined,
    batch: 48,
    optimizer: { type: 'adam', beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weightDecay: 0, decoupled: false },
    learningRate: 0.002,
    schedule: { type: 'constant' },
    clipNorm: undefined,
    seed: 3,
  },
  validation: { everyEpochs: 100, maxSamples: undefined },
  sync: { strategy: 'bsp', deadlineFactor: 6, minDeadlineMs: 5000, codec: 'fp32', maxNorm: undefined },
  cluster: { minWorkers: 2, waitMs: 20_000, engine: undefined, schedule: '1f1b', microbatch: 4 },
  checkpoint: { everyMs: 1e9 },
};
const SAMPLES = job.train.epochs * 240;

const worker = (name: string, rest: Partial<SimulatedWorker> = {}): SimulatedWorker => ({
  name,
  samplesPerSecond: 20,
  overheadMs: 0,
  engine: 'tensorflow',
  memoryBytes: 22 * 2 ** 20,
  ...rest,
});

const run = (fleet: readonly SimulatedWorker[], faults: readonly Fault[] = [], rest: Partial<Scenario> = {}): Promise<Outcome> =>
  simulate({ job, model, fleet, faults, seed: 1, layout: plannedLayout(() => profile), ...rest });

const of = <Name extends RunEventName>({ events }: Outcome, name: Name) =>
  events.flatMap(({ body, timeMs }) => (body.event === name ? [{ ...(body as Extract<RunEvent, { event: Name }>), timeMs }] : []));
const movesOf = (outcome: Outcome) => of(outcome, 'replan').filter(({ moves }) => moves);
const blocksOf = (outcome: Outcome) =>
  of(outcome, 'layout').map(({ groups }) => Object.fromEntries(groups.flatMap(({ stages }) => stages.map(({ name, start, end }) => [name, end - start]))));

/** Of one machine that holds the whole model. */
const alone = run([worker('one', { memoryBytes: 2 ** 30 })], [], { job: { ...job, cluster: { ...job.cluster, minWorkers: 1 } } });

async function expectSameTraining(outcome: Outcome): Promise<void> {
  expect(outcome.verdict, outcome.verdict.reason).toMatchObject({ status: 'succeeded', samples: { applied: SAMPLES, lost: 0 } });
  const committed = of(outcome, 'commit').reduce((sum, { samples }) => sum + samples, 0);
  expect(committed).toBe(SAMPLES);
  const expected = (await alone).parameters;
  const norm = (v: Float32Array) => Math.sqrt(v.reduce((sum, x) => sum + x * x, 0));
  expect(norm(outcome.parameters.map((value, i) => value - expected[i]!)) / norm(expected)).toBeLessThan(1e-4);
}

test('a device that slows to half moves stages once, and the training is that of one machine', async () => {
  const slow: Fault = { kind: 'slow', worker: 'a', atMs: 60_000, forMs: 1e9, factor: 2 };
  const outcome = await run([worker('a'), worker('b')], [slow]);
  expect(outcome.fired).toContain(slow);
  const [move, ...others] = movesOf(outcome);
  expect(others).toEqual([]);
  expect(move!.timeMs).toBeGreaterThan(60_000);
  expect(move!.reason).toMatch(/^a is \d+ % slower; .* samples\/s for .* moved in .* pays within/);
  expect(move!.movingBytes).toBeGreaterThan(0);
  const [before, after] = blocksOf(outcome);
  expect(before).toEqual({ a: 3, b: 3 });
  expect(after).toEqual({ a: 2, b: 4 });
  await expectSameTraining(outcome);
});

test('noise within a fifth moves nothing, and is not worth a word', async () => {
  const noise = Array.from({ length: 80 }, (_, i): Fault => ({ kind: 'slow', worker: 'ab'[i % 2]!, atMs: 5000 + 2000 * i, forMs: 1500, factor: i % 3 === 0 ? 1.18 : 1.1 }));
  const outcome = await run([worker('a'), worker('b')], noise);
  expect(outcome.fired.size).toBe(noise.length);
  expect(of(outcome, 'replan')).toEqual([]);
  await expectSameTraining(outcome);
});

test('a speed that swings does not make the groups swing', async () => {
  const swings = Array.from({ length: 12 }, (_, i): Fault => ({ kind: 'slow', worker: 'a', atMs: 30_000 + 40_000 * i, forMs: 20_000, factor: 3 }));
  const outcome = await run([worker('a'), worker('b')], swings);
  expect(outcome.fired.size).toBeGreaterThan(4);
  expect(of(outcome, 'replan').length).toBeGreaterThan(0);
  // A move settles for what was then thought to be the rest of the run.
  expect(movesOf(outcome).length).toBeLessThanOrEqual(2);
  await expectSameTraining(outcome);
});

test('who joins in the middle is measured, and taken in where that pays', async () => {
  const outcome = await run([worker('a'), worker('b'), worker('c', { samplesPerSecond: 80, joinAtMs: 60_000 })]);
  const [move] = movesOf(outcome);
  expect(move!.reason).toMatch(/^c joined; .* pays within/);
  expect(Object.keys(blocksOf(outcome).at(-1)!)).toContain('c');
  await expectSameTraining(outcome);
});

test('near the end of a run nothing pays any more', async () => {
  const slow: Fault = { kind: 'slow', worker: 'a', atMs: 230_000, forMs: 1e9, factor: 2 };
  const outcome = await run([worker('a', { prepareMs: 60_000 }), worker('b')], [slow]);
  expect(outcome.fired).toContain(slow);
  const decisions = of(outcome, 'replan');
  expect(decisions.map(({ moves }) => moves)).toEqual(decisions.map(() => false));
  expect(decisions[0]!.reason).toMatch(/does not pay within/);
  await expectSameTraining(outcome);
});

test('who is lost is done without, and the log says what was decided', async () => {
  const kill: Fault = { kind: 'kill', worker: 'c', atMs: 60_000 };
  const outcome = await run([worker('a'), worker('b'), worker('c')], [kill], { job: { ...job, cluster: { ...job.cluster, minWorkers: 3 } } });
  expect(outcome.fired).toContain(kill);
  expect(Object.keys(blocksOf(outcome)[0]!).sort()).toEqual(['a', 'b', 'c']);
  expect(of(outcome, 'replan')[0]!.reason).toMatch(/^c left; /);
  expect(Object.keys(blocksOf(outcome).at(-1)!).sort()).toEqual(['a', 'b']);
  await expectSameTraining(outcome);
});

test('a worker that stepped for itself takes its optimizer state along into a pipeline', async () => {
  const whole = worker('whole', { memoryBytes: 2 ** 30 });
  const snail = worker('snail', { samplesPerSecond: 0.2 });
  const outcome = await run([whole, snail, worker('c', { samplesPerSecond: 80, joinAtMs: 60_000 })]);
  const [move] = movesOf(outcome);
  const commits = of(outcome, 'commit');
  expect(commits.filter(({ timeMs }) => timeMs < move!.timeMs).every(({ reason }) => reason.includes('local steps'))).toBe(true);
  expect(commits.some(({ timeMs, reason }) => timeMs > move!.timeMs && !reason.includes('local steps'))).toBe(true);
  expect(Object.keys(blocksOf(outcome).at(-1)!).sort()).toEqual(['c', 'whole']);
  await expectSameTraining(outcome);
});
