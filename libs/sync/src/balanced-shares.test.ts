import type { WorkerTime } from '@longtail/core';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { balancedShares } from './balanced-shares.js';

const rule = balancedShares();
const none: ReadonlyMap<string, number> = new Map();

const workersOf = (speeds: readonly number[]): WorkerTime[] => speeds.map((speed, i) => ({ node: `n${i}`, fixedMs: 0, msPerSample: 1 / speed }));
const values = (shares: ReadonlyMap<string, number>) => [...shares.values()];
const speeds = fc.array(fc.double({ min: 1e-3, max: 1e6, noNaN: true }), { minLength: 1, maxLength: 12 });
const batches = fc.integer({ min: 1, max: 5000 });

test('the demo fleet: 1 : 0.6 : 0.4 : 0.25 of 128', () => {
  expect(values(rule(128, workersOf([1, 0.6, 0.4, 0.25]), none))).toEqual([58, 34, 22, 14]);
});

test('shares are whole, not negative and sum to the batch', () => {
  fc.assert(
    fc.property(batches, speeds, (batch, list) => {
      const shares = values(rule(batch, workersOf(list), none));
      expect(shares).toHaveLength(list.length);
      expect(shares.every((share) => Number.isInteger(share) && share >= 0)).toBe(true);
      expect(shares.reduce((a, b) => a + b, 0)).toBe(batch);
    }),
  );
});

test('no worker would be done sooner by giving a sixty-fourth of the batch to another', () => {
  fc.assert(
    fc.property(batches, speeds, (batch, list) => {
      const shares = values(rule(batch, workersOf(list), none));
      const piece = Math.max(1, batch / 64);
      const times = shares.map((share, i) => share / list[i]!);
      const slowest = Math.max(...times);
      for (const [i, share] of shares.entries()) expect((share + piece) / list[i]!).toBeGreaterThanOrEqual(slowest * (1 - 1e-9));
    }),
  );
});

test('only the ratio of speeds counts', () => {
  fc.assert(
    fc.property(batches, speeds, (batch, list) => {
      expect(rule(batch, workersOf(list.map((speed) => 4 * speed)), none)).toEqual(rule(batch, workersOf(list), none));
    }),
  );
});

const times = fc.array(
  fc.record({ fixedMs: fc.double({ min: 0, max: 1000, noNaN: true }), msPerSample: fc.double({ min: 0.1, max: 100, noNaN: true }) }),
  { minLength: 1, maxLength: 6 },
);
const named = (list: readonly { fixedMs: number; msPerSample: number }[]): WorkerTime[] => list.map((time, i) => ({ node: `n${i}`, ...time }));
const makespan = (workers: readonly WorkerTime[], shares: ReadonlyMap<string, number>) =>
  Math.max(...workers.map(({ node, fixedMs, msPerSample }) => (shares.get(node) ? fixedMs + shares.get(node)! * msPerSample : 0)));

test('fixed time counts: a worker that is slow to begin gets less, or nothing', () => {
  const slow = (fixedMs: number) => values(rule(32, named([{ fixedMs: 0, msPerSample: 1 }, { fixedMs, msPerSample: 1 }]), none));
  expect([slow(0), slow(10), slow(100)]).toEqual([[16, 16], [21, 11], [32, 0]]);
});

const splits = (batch: number, parts: number): number[][] =>
  parts === 1 ? [[batch]] : Array.from({ length: batch + 1 }, (_, first) => splits(batch - first, parts - 1).map((rest) => [first, ...rest])).flat();

test('no split of a small batch has a shorter round, from whatever shares it begins', () => {
  const eager = balancedShares({ tolerance: 0 });
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 9 }), fc.array(times.map((list) => list.slice(0, 3)), { minLength: 2, maxLength: 2 }), (batch, [before, now]) => {
      const workers = named(now!);
      const best = Math.min(...splits(batch, workers.length).map((split) => makespan(workers, new Map(split.map((share, i) => [`n${i}`, share])))));
      const previous = rule(batch, named(now!.map((_, i) => before![i % before!.length]!)), none);
      for (const shares of [rule(batch, workers, none), eager(batch, workers, previous)]) {
        expect(values(shares).reduce((a, b) => a + b, 0)).toBe(batch);
        expect(makespan(workers, shares)).toBeCloseTo(best, 6);
      }
    }),
  );
});

test('where each that takes part makes the round longer for all, no set of workers and no split has one that is shorter by more than a hundredth', () => {
  const roundMs = (workers: readonly WorkerTime[], shares: ReadonlyMap<string, number>, sharedMs: number) =>
    makespan(workers, shares) + sharedMs * values(shares).filter((share) => share > 0).length;
  const eager = balancedShares({ tolerance: 0 });
  const shared = fc.double({ min: 0.01, max: 300, noNaN: true });
  const fleets = fc.array(times.map((list) => list.slice(0, 4)), { minLength: 2, maxLength: 2 });
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 8 }), fleets, shared, (batch, [before, now], sharedMs) => {
      const workers = named(now!);
      const best = Math.min(...splits(batch, workers.length).map((split) => roundMs(workers, new Map(split.map((share, i) => [`n${i}`, share])), sharedMs)));
      const previous = rule(batch, named(now!.map((_, i) => before![i % before!.length]!)), none);
      for (const shares of [rule(batch, workers, none, sharedMs), eager(batch, workers, previous, sharedMs)]) {
        expect(values(shares).reduce((a, b) => a + b, 0)).toBe(batch);
        expect(roundMs(workers, shares, sharedMs)).toBeLessThanOrEqual(1.01 * best * (1 + 1e-9));
      }
    }),
  );
});

test('on a shared line fewer take part, and they stay while others would not be faster by more than the tolerance', () => {
  const workers = workersOf([1, 1, 0.9, 0.5]);
  expect(values(rule(64, workers, none, 1))).toEqual([19, 19, 17, 9]);
  const alone = rule(64, workers, none, 40);
  expect(values(alone)).toEqual([64, 0, 0, 0]);
  expect(rule(64, workersOf([1, 1.05, 0.9, 0.5]), alone, 40)).toBe(alone);
  expect(values(rule(64, workersOf([1, 1.2, 0.9, 0.5]), alone, 40))).toEqual([0, 64, 0, 0]);
  // Whose part moves least goes on with what it has.
  const three = new Map([['n0', 20], ['n1', 24], ['n2', 20], ['n3', 0]]);
  expect(values(rule(64, workersOf([1, 1.2, 0.2, 0.5]), three, 12))).toEqual([29, 35, 0, 0]);
});

test('shares stay where others would not shorten the round by more than the tolerance', () => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 500 }), times, times, (batch, before, now) => {
      const workers = named(now);
      const previous = rule(batch, named(now.map((_, i) => before[i % before.length]!)), none);
      const shares = rule(batch, workers, previous);
      const least = makespan(workers, rule(batch, workers, none));
      if (shares !== previous) expect(makespan(workers, previous)).toBeGreaterThan(1.07 * makespan(workers, shares));
      if (batch < 128) expect(makespan(workers, shares)).toBeLessThanOrEqual(1.07 * least * (1 + 1e-9));
    }),
  );
});

test('a change moves shares of those alone who are to be relieved and who relieve them', () => {
  const before = rule(64, workersOf([1, 1, 1, 1]), none);
  expect(values(before)).toEqual([16, 16, 16, 16]);
  expect(values(rule(64, workersOf([1.02, 1.03, 0.99, 1]), before))).toEqual([16, 16, 16, 16]);
  const shares = values(rule(64, workersOf([1, 1, 1, 2]), before));
  expect(shares).toEqual([13, 13, 13, 25]);
  const even = new Map([['n0', 11], ['n1', 9], ['n2', 12]]);
  expect(values(rule(32, workersOf([1, 1, 1]), even))).toEqual([11, 10, 11]);
});

test('previous shares of other workers or another batch are not kept', () => {
  const before = rule(128, workersOf([1, 1]), none);
  expect(values(rule(64, workersOf([1, 1]), before))).toEqual([32, 32]);
  expect(values(rule(128, workersOf([1, 1, 2]), before))).toEqual([32, 32, 64]);
});

test('a worker of unknown speed gets nothing beside measured ones, an equal share among its like', () => {
  expect(values(rule(64, workersOf([0, 10, Number.NaN]), none))).toEqual([0, 64, 0]);
  expect(values(rule(64, workersOf([0, 0]), none))).toEqual([32, 32]);
});

test('no worker, no share', () => {
  expect(rule(64, [], none).size).toBe(0);
});
