import fc from 'fast-check';
import { expect, it } from 'vitest';
import { isFenced, type Fleet } from './fence.js';
import { decideTakeover } from './takeover.js';

const fleet = ['a', 'b', 'c', 'd'];
const decide = (witnesses: readonly string[], nowMs: number, nodes: readonly string[] = fleet, beside: readonly string[] = [], restarted = false) =>
  decideTakeover({ lostAtMs: 1000, fleet: { nodes, beside: new Set(beside) }, witnesses: new Set(witnesses), restarted }, nowMs);

it('believes more than half of the nodes at once, and half of them after a while', () => {
  expect(decide(['a', 'b', 'c'], 1000)).toMatchObject({ takeOver: true, reason: '3 of its 4 nodes do not reach it either' });
  expect(decide(['a', 'b'], 1000)).toEqual({ takeOver: false, wakeAtMs: 3500, reason: '2 of its 4 nodes do not reach it either' });
  expect(decide(['a', 'b'], 3500)).toMatchObject({ takeOver: true });
  expect(decide(['a'], 1e9)).toMatchObject({ takeOver: false, wakeAtMs: undefined });
});

it('does not wait for nodes on the machine of the server, which may be gone with it, but counts them once one has come', () => {
  expect(decide(['a'], 1000, fleet, ['b', 'c', 'd'])).toMatchObject({ takeOver: true, reason: '1 of its 1 nodes do not reach it either' });
  expect(decide(['b'], 1000, fleet, ['b', 'c', 'd'])).toMatchObject({ takeOver: false });
  expect(decide(['b', 'c'], 3500, fleet, ['b', 'c', 'd'])).toMatchObject({ takeOver: true, reason: '2 of its 4 nodes do not reach it either' });
  expect(decide([], 1e9, fleet, fleet)).toMatchObject({ takeOver: false });
});

it('does not take over while nobody comes, and after a while where nobody was', () => {
  expect(decide([], 1e9)).toMatchObject({ takeOver: false, wakeAtMs: undefined });
  expect(decide(['stranger'], 1e9)).toMatchObject({ takeOver: false });
  expect(decide([], 1000, [])).toMatchObject({ takeOver: false, wakeAtMs: 3500 });
  expect(decide([], 3500, [])).toMatchObject({ takeOver: true, reason: 'nobody worked for it' });
});

it('takes the word of a server that was started again, where its machine took all nodes along', () => {
  expect(decide([], 1000, fleet, fleet, true)).toMatchObject({ takeOver: true, reason: 'it was started again, without what is here' });
});

/** A fleet, and what each node of it does when the server and its standby lose each other. */
const split = fc.array(fc.record({ beside: fc.boolean(), does: fc.constantFrom('witnesses', 'hears', 'neither') }), { minLength: 1, maxLength: 9 }).map((nodes) => {
  const named = nodes.map((node, index) => ({ ...node, name: String(index) }));
  const those = (what: string): Set<string> => new Set(named.filter(({ does }) => does === what).map(({ name }) => name));
  const all: Fleet = { nodes: named.map(({ name }) => name), beside: new Set(named.filter(({ beside }) => beside).map(({ name }) => name)) };
  return { fleet: all, witnesses: those('witnesses'), unaware: those('hears') };
});

it('lets either the server commit by itself or its standby take over, whichever nodes are with whom', () => {
  let [alone, over, neither] = [0, 0, 0];
  fc.assert(
    fc.property(split, ({ fleet, witnesses, unaware }) => {
      const fenced = isFenced(fleet, unaware);
      const { takeOver } = decideTakeover({ lostAtMs: 0, fleet, witnesses, restarted: false }, 1e9);
      expect(fenced && takeOver).toBe(false);
      if (fenced) alone++;
      else if (takeOver) over++;
      else neither++;
    }),
    { numRuns: 500 },
  );
  expect(Math.min(alone, over, neither)).toBeGreaterThan(10);
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
