import type { WorkerSpeed } from '@longtail/core';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { proportionalShares } from './proportional-shares.js';

const rule = proportionalShares();
const none: ReadonlyMap<string, number> = new Map();

const workersOf = (speeds: readonly number[]): WorkerSpeed[] => speeds.map((samplesPerSecond, i) => ({ node: `n${i}`, samplesPerSecond }));
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

test('noise within the tolerance leaves the shares alone, a real change moves them', () => {
  fc.assert(
    fc.property(fc.array(fc.double({ min: 0.95, max: 1.05, noNaN: true }), { minLength: 4, maxLength: 4 }), (noise) => {
      const base = [1, 0.6, 0.4, 0.25];
      const before = rule(1024, workersOf(base), none);
      expect(rule(1024, workersOf(base.map((speed, i) => speed * noise[i]!)), before)).toBe(before);
    }),
  );
  const before = rule(1024, workersOf([1, 1]), none);
  expect(values(rule(1024, workersOf([1, 0.5]), before))).toEqual([688, 336]);
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
