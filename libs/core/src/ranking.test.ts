import fc from 'fast-check';
import { expect, test } from 'vitest';
import { Ranking } from './ranking.js';

test('the first is the lowest of those that are in it, of equal ones the lower number, whatever comes, changes and goes', () => {
  const change = fc.record({ number: fc.nat(50), key: fc.oneof(fc.integer({ min: 0, max: 5 }), fc.double({ noNaN: true })), goes: fc.boolean() });
  fc.assert(
    fc.property(fc.array(change, { maxLength: 300 }), (changes) => {
      const ranking = new Ranking();
      const plain = new Map<number, number>();
      for (const { number, key, goes } of changes) {
        if (!plain.has(number)) ranking.add(number, key);
        else if (goes) ranking.remove(number);
        else ranking.change(number, key);
        if (plain.has(number) && goes) plain.delete(number);
        else plain.set(number, key);
        expect(ranking.size).toBe(plain.size);
        const lowest = Math.min(Infinity, ...plain.values());
        expect(ranking.firstKey + 0).toBe(lowest + 0);
        if (plain.size > 0) expect(ranking.first).toBe(Math.min(...[...plain].flatMap(([at, of]) => (of === lowest ? at : []))));
      }
    }),
  );
});
