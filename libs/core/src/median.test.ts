import fc from 'fast-check';
import { expect, test } from 'vitest';
import { lowerMedian, median, select, weightedMedian } from './median.js';

const some = fc.array(fc.oneof(fc.integer({ min: -3, max: 3 }), fc.double({ noNaN: true })), { minLength: 1, maxLength: 40 });
const sortedOf = (values: readonly number[]) => [...values].sort((a, b) => a - b);

test('what is selected is what would be there after sorting, of as many as are said', () => {
  fc.assert(
    fc.property(some, fc.nat(), fc.nat(), (values, at, length) => {
      const count = 1 + (length % values.length);
      const index = at % count;
      expect(select(Float64Array.from(values), index, count) === sortedOf(values.slice(0, count))[index]).toBe(true);
    }),
  );
});

test('a median is the lower one of the two in the middle', () => {
  fc.assert(
    fc.property(some, (values) => {
      const middle = sortedOf(values)[(values.length - 1) >> 1]!;
      const before = [...values];
      expect(median(values) === middle && lowerMedian(Float64Array.from(values)) === middle).toBe(true);
      expect(values).toEqual(before);
    }),
  );
});

test('of whole weights, a weighted median is that of as many of each', () => {
  const weighed = fc.array(fc.record({ value: fc.integer({ min: -9, max: 9 }), weight: fc.integer({ min: 1, max: 5 }) }), { minLength: 1, maxLength: 20 });
  fc.assert(
    fc.property(weighed, (all) => {
      const each = all.flatMap(({ value, weight }) => Array.from({ length: weight }, () => value));
      expect(weightedMedian(all.map(({ value }) => value), all.map(({ weight }) => weight))).toBe(sortedOf(each)[(each.length - 1) >> 1]);
    }),
  );
});
