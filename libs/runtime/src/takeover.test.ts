import fc from 'fast-check';
import { expect, it } from 'vitest';
import { decideTakeover } from './takeover.js';

const fleet = ['a', 'b', 'c', 'd'];
const decide = (witnesses: readonly string[], nowMs: number, nodes: readonly string[] = fleet, restarted = false) =>
  decideTakeover({ lostAtMs: 1000, fleet: nodes, witnesses: new Set(witnesses), restarted }, nowMs);

it('believes more than half of the nodes at once, and some of them after a while', () => {
  expect(decide(['a', 'b', 'c'], 1000)).toMatchObject({ takeOver: true, reason: '3 of its 4 nodes do not reach it either' });
  expect(decide(['a', 'b'], 1000)).toEqual({ takeOver: false, wakeAtMs: 3500, reason: '2 of its 4 nodes do not reach it either' });
  expect(decide(['a'], 3500)).toMatchObject({ takeOver: true });
});

it('does not take over while none of several comes, and after a while where there is nobody', () => {
  expect(decide([], 1e9)).toMatchObject({ takeOver: false, wakeAtMs: undefined });
  expect(decide(['stranger'], 1e9)).toMatchObject({ takeOver: false });
  expect(decide([], 1000, [])).toMatchObject({ takeOver: false, wakeAtMs: 3500 });
  expect(decide([], 3500, [])).toMatchObject({ takeOver: true });
});

it('takes the word of a server that was started again, where its machine took all nodes along', () => {
  expect(decide([], 1000, fleet, true)).toMatchObject({ takeOver: true, reason: 'it was started again, without what is here' });
});

it('never goes back on what more witnesses or more time only confirm', () => {
  fc.assert(
    fc.property(fc.subarray(fleet), fc.subarray(fleet), fc.nat(5000), fc.nat(5000), (some, more, waitedMs, longerMs) => {
      const before = decide(some, 1000 + waitedMs);
      const after = decide([...some, ...more], 1000 + waitedMs + longerMs);
      expect(after.takeOver || !before.takeOver).toBe(true);
      if (!before.takeOver && before.wakeAtMs !== undefined) expect(before.wakeAtMs).toBeGreaterThan(1000 + waitedMs);
    }),
  );
});
