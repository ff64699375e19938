import fc from 'fast-check';
import { expect, it } from 'vitest';
import { disjoint, type VectorRange } from './tensor.js';

const range = fc.record({ start: fc.nat(30), length: fc.nat(10) });

function valuesOf(ranges: readonly VectorRange[]): number[] {
  return ranges.flatMap(({ start, length }) => Array.from({ length }, (_, i) => start + i));
}

it('names each value of some ranges once', () => {
  fc.assert(
    fc.property(fc.array(range), (ranges) => {
      const ascending = [...new Set(valuesOf(ranges))].sort((a, b) => a - b);
      expect(valuesOf(disjoint(ranges))).toEqual(ascending);
    }),
  );
});
