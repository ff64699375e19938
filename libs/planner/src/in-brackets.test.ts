import fc from 'fast-check';
import { expect, it } from 'vitest';
import { inBrackets } from './in-brackets.js';

it('finds what there is in each place, in their order, however many are weighed as one', () => {
  fc.assert(
    fc.property(fc.array(fc.boolean(), { maxLength: 60 }), fc.nat(60), fc.integer({ min: 1, max: 9 }), (places, begin, widest) => {
      const found: number[] = [];
      inBrackets<[at: number]>(
        { begin, end: places.length, widest },
        (from, to, tell) => {
          expect(to - from).toBeLessThanOrEqual(widest);
          for (let at = from; at < to; at++) if (places[at] && tell(at) === false) return;
        },
        (at) => found.push(at),
      );
      expect(found).toEqual([...places.keys()].filter((at) => at >= begin && places[at]));
    }),
  );
});

it('weighs far fewer than there are where there is nothing', () => {
  let weighed = 0;
  inBrackets<[]>({ begin: 0, end: 1000 }, () => weighed++, () => undefined);
  expect(weighed).toBe(10);
});
