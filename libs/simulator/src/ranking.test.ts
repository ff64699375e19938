import fc from 'fast-check';
import { expect, test } from 'vitest';
import { Ranking } from './ranking.js';

test('the first is the lowest of those that are in it, whatever comes and goes', () => {
  const change = fc.record({ number: fc.nat(50), key: fc.oneof(fc.integer({ min: 0, max: 5 }), fc.double({ noNaN: true })) });
  fc.assert(
    fc.property(fc.array(change, { maxLength: 300 }), (changes) => {
      const ranking = new Ranking();
      const plain = new Map<number, number>();
      for (const { number, key } of changes) {
        if (plain.has(number)) ranking.remove(number);
        else ranking.add(number, key);
        if (!plain.delete(number)) plain.set(number, key);
        expect(ranking.size).toBe(plain.size);
        expect(ranking.firstKey + 0).toBe(Math.min(Infinity, ...plain.values()) + 0);
        if (plain.size > 0) expect(plain.get(ranking.first!)! + 0).toBe(ranking.firstKey + 0);
      }
    }),
  );
});
