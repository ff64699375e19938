import fc from 'fast-check';
import { expect, test } from 'vitest';
import type { GroupCost } from './rounds.js';
import { leastRoundMs, roundMsOf, samplesWithin, wholeShares } from './rounds.js';

const solo = fc.record({
  microbatch: fc.constantFrom(1, 4),
  periodMs: fc.double({ min: 0.1, max: 100, noNaN: true }),
  fillMs: fc.constant(0),
  tailMs: fc.double({ min: 0, max: 1000, noNaN: true }),
  minSamples: fc.constant(0),
  uploads: fc.constant(1),
});
const pipeline = fc
  .tuple(solo, fc.double({ min: 0, max: 300, noNaN: true }))
  .map(([cost, fillMs]) => ({ ...cost, fillMs, minSamples: cost.microbatch }));
const groups: fc.Arbitrary<GroupCost[]> = fc.array(fc.oneof(solo, pipeline), { minLength: 1, maxLength: 8 });
const batches = fc.integer({ min: 1, max: 2000 });
const steps = fc.integer({ min: 1, max: 50 });

test('the least round is enough for the batch, and nothing shorter is', () => {
  fc.assert(
    fc.property(groups, batches, steps, (costs, batch, count) => {
      const roundMs = leastRoundMs(costs, batch, count, 0);
      const within = (ms: number) => costs.reduce((sum, cost) => sum + samplesWithin(cost, ms, count, 0), 0);
      expect(within(roundMs * (1 + 1e-6))).toBeGreaterThanOrEqual(batch * (1 - 1e-6));
      expect(within(roundMs * (1 - 1e-6))).toBeLessThan(batch);
    }),
  );
});

test('whole shares sum to the batch, and no sample would be done sooner elsewhere', () => {
  fc.assert(
    fc.property(groups, batches, steps, (costs, batch, count) => {
      const shares = wholeShares(costs, batch, count, 0);
      expect(shares.reduce((sum, share) => sum + share, 0)).toBe(batch);
      expect(shares.every((share) => Number.isInteger(share) && share >= 0)).toBe(true);
      const finish = (i: number, share: number) => roundMsOf(costs[i]!, share, count, 0);
      const used = shares.map((share, i) => (share > 0 ? finish(i, share) : 0));
      const last = used.indexOf(Math.max(...used));
      shares.forEach((share, i) => {
        if (i !== last) expect(finish(i, share + 1)).toBeGreaterThanOrEqual(used[last]! * (1 - 1e-9));
      });
    }),
  );
});

test('a group that is slower to exchange than the others are to be done gets nothing', () => {
  const fast = { microbatch: 1, periodMs: 1, fillMs: 0, tailMs: 10, minSamples: 0, uploads: 1 };
  expect(wholeShares([fast, { ...fast, tailMs: 41_000 }], 100, 1, 0)).toEqual([100, 0]);
});
