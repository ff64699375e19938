import type { Fault, Outcome } from '@longtail/simulator';
import { describe, expect, test } from 'vitest';
import { job, of, run, SAMPLES, worker } from './testing/six-blocks.js';

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

test('rates that come and go are not weighed again and again: a decision to stay holds for ten seconds', async () => {
  const small = { job: { ...job, train: { ...job.train, batch: 12 } } };
  // Building a stage takes so long that moving never pays.
  const [a, b] = ['a', 'b'].map((name) => worker(name, { prepareMs: 100_000 }));
  const flutter = Array.from({ length: 10 }, (_, i): Fault => ({ kind: 'slow', worker: 'a', atMs: 120_000 + 9000 * i, forMs: 4500, factor: 1.6 }));
  const outcome = await run([a!, b!], flutter, small);
  expect(outcome.fired.size).toBe(flutter.length);
  const weighed = of(outcome, 'replan').map(({ timeMs }) => timeMs);
  expect(weighed.length).toBeGreaterThan(2);
  for (const [i, atMs] of weighed.slice(1).entries()) expect(atMs - weighed[i]!).toBeGreaterThanOrEqual(10_000);
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

test('who slows down a great deal right after a move does not wait for the horizon', async () => {
  const [move] = movesOf(await run([worker('a'), worker('b')], [{ kind: 'slow', worker: 'a', atMs: 60_000, forMs: 1e9, factor: 2 }]));
  const faults: readonly Fault[] = [
    { kind: 'slow', worker: 'a', atMs: 60_000, forMs: 1e9, factor: 2 },
    { kind: 'slow', worker: 'b', atMs: move!.timeMs + 5000, forMs: 1e9, factor: 6 },
  ];
  const outcome = await run([worker('a'), worker('b')], faults);
  expect(faults.every((fault) => outcome.fired.has(fault))).toBe(true);
  const [first, second, ...others] = movesOf(outcome);
  expect(first!.timeMs).toBe(move!.timeMs);
  expect(second!.reason).toMatch(/\bb is 83 % slower/);
  expect(second!.timeMs).toBeLessThan(first!.timeMs + 60_000);
  expect(others).toEqual([]);
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
  expect(decisions[0]!.reason).toMatch(/but the run ends before a move would: that takes at least/);
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

describe('a group that breaks while somebody who joined is measured', () => {
  const kill: Fault = { kind: 'kill', worker: 'c', atMs: 60_000 };
  const three = { job: { ...job, cluster: { ...job.cluster, minWorkers: 3 } } };
  const joining = (samplesPerSecond: number, joinAtMs: number) => worker('d', { samplesPerSecond, joinAtMs });

  test('is laid out anew with those who are left, at once', async () => {
    const outcome = await run([worker('a'), worker('b'), worker('c'), joining(0.05, 55_000)], [kill], three);
    expect(outcome.fired).toContain(kill);
    const measured = of(outcome, 'profiled').find(({ name }) => name === 'd')!;
    expect(measured.timeMs).toBeGreaterThan(100_000);
    expect(of(outcome, 'commit').filter(({ timeMs }) => timeMs > 60_000 && timeMs < 90_000).length).toBeGreaterThan(3);
    expect(of(outcome, 'replan').map(({ reason }) => reason)).toEqual([expect.stringMatching(/^c left; no group is whole/), expect.stringMatching(/^d joined; but/)]);
    await expectSameTraining(outcome);
  });

  test('takes them in once they are, where that pays', async () => {
    const outcome = await run([worker('a'), worker('b'), worker('c'), joining(80, 59_970)], [kill], three);
    expect(of(outcome, 'profiled').find(({ name }) => name === 'd')!.timeMs).toBeGreaterThan(60_000);
    expect(movesOf(outcome).map(({ reason }) => reason)).toEqual([expect.stringMatching(/^c left; no group is whole/), expect.stringMatching(/^d joined; .* pays within/)]);
    expect(Object.keys(blocksOf(outcome).at(-1)!)).toContain('d');
    await expectSameTraining(outcome);
  });

  test('waits for them where it must, and says for whom', async () => {
    const outcome = await run([worker('a'), worker('c'), joining(0.05, 55_000)], [kill]);
    const { reason } = of(outcome, 'waiting').find(({ timeMs }) => timeMs >= 60_000)!;
    expect(reason).toContain('the layout lacks what d measures');
    expect(of(outcome, 'layout').find(({ timeMs }) => timeMs >= 60_000)!.reason).toBe('d is measured first');
    expect(Object.keys(blocksOf(outcome).at(-1)!).sort()).toEqual(['a', 'd']);
  });
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
