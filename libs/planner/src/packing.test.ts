import fc from 'fast-check';
import { expect, test } from 'vitest';
import type { Column } from './packing.js';
import { Packing } from './packing.js';

const ITEMS = 5;
const alone = fc.array(fc.integer({ min: 0, max: 3 }), { minLength: ITEMS, maxLength: ITEMS });
const columns = fc.array(
  fc.record({ members: fc.uniqueArray(fc.nat(ITEMS - 1), { minLength: 2, maxLength: 4 }), worth: fc.integer({ min: 1, max: 12 }) }),
  { maxLength: 12 },
);

test('no group is worth more than the prices of its members, and these come to no less than any packing, and no more than what is taken', () => {
  fc.assert(
    fc.property(alone, columns, (each, all) => {
      const packing = new Packing(Float64Array.from(each));
      for (const [i, column] of all.entries()) {
        packing.add(column);
        // Now and then: it goes on from where it was.
        if (i % 3 === 0) packing.solve();
      }
      packing.solve();
      const sum = packing.prices.reduce((total, price) => total + price, 0);
      for (const { members, worth } of all) expect(members.reduce((total, i) => total + packing.prices[i]!, 0)).toBeGreaterThan(worth - 1e-4);
      for (const [i, worth] of each.entries()) expect(packing.prices[i]).toBeGreaterThan(worth - 1e-4);
      expect(sum).toBeGreaterThan(mostOf(all, each, new Set()) - 1e-4);
      expect(packing.near(1e-4)).toEqual(expect.arrayContaining([...packing.chosen()]));
    }),
    { numRuns: 300 },
  );
});

test('a packing takes in part what overlaps', () => {
  const packing = new Packing(new Float64Array(3));
  for (const members of [[0, 1], [1, 2], [0, 2]]) packing.add({ members, worth: 2 });
  packing.solve();
  expect([...packing.prices]).toEqual([1, 1, 1]);
  expect(packing.chosen()).toHaveLength(3);
});

/** Of groups that do not overlap, by trying all. */
function mostOf([first, ...rest]: readonly Column[], each: readonly number[], taken: ReadonlySet<number>): number {
  if (first === undefined) return each.reduce((sum, worth, i) => sum + (taken.has(i) ? 0 : worth), 0);
  const without = mostOf(rest, each, taken);
  if (first.members.some((member) => taken.has(member))) return without;
  return Math.max(without, first.worth + mostOf(rest, each, new Set([...taken, ...first.members])));
}
