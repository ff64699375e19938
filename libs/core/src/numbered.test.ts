import fc from 'fast-check';
import { expect, it } from 'vitest';
import { Numbered } from './numbered.js';

it('holds what a map holds, in the same order', () => {
  const move = fc.oneof(fc.record({ open: fc.integer({ min: 1, max: 40 }) }), fc.record({ close: fc.nat(60) }), fc.record({ change: fc.nat(60) }));
  fc.assert(
    fc.property(fc.array(move, { maxLength: 300 }), (moves) => {
      const numbered = new Numbered<string>();
      const map = new Map<number, string>();
      let last = 0;
      for (const one of moves) {
        if ('open' in one) {
          last += one.open;
          numbered.set(last, `${last}`);
          map.set(last, `${last}`);
        } else if ('close' in one) {
          numbered.delete(last - one.close);
          map.delete(last - one.close);
        } else if (map.has(last - one.change)) {
          numbered.set(last - one.change, 'changed');
          map.set(last - one.change, 'changed');
        }
        expect(numbered.values()).toEqual([...map.values()]);
        expect(numbered.size).toBe(map.size);
        for (let number = last - 70; number <= last + 1; number++) expect(numbered.get(number)).toBe(map.get(number));
      }
    }),
  );
});
