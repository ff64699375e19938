import fc from 'fast-check';
import { expect, test } from 'vitest';
import { countSamples, microbatchesOf } from './microbatches.js';

test('every sample once, in order, in microbatches of the size but for the last', () => {
  const range = fc.record({ epoch: fc.nat(2), start: fc.nat(50), length: fc.integer({ min: 1, max: 30 }) });
  fc.assert(
    fc.property(fc.array(range), fc.integer({ min: 1, max: 20 }), (lengths, size) => {
      const ranges = lengths.map(({ epoch, start, length }) => ({ epoch, start, end: start + length }));
      const microbatches = microbatchesOf(ranges, size);
      const listed = (list: typeof ranges) => list.flatMap(({ epoch, start, end }) => Array.from({ length: end - start }, (_, i) => `${epoch}/${start + i}`));
      expect(listed(microbatches.flat())).toEqual(listed(ranges));
      for (const [i, microbatch] of microbatches.entries()) {
        const count = countSamples(microbatch);
        if (i < microbatches.length - 1) expect(count).toBe(size);
        else expect(count).toBeLessThanOrEqual(size);
      }
      expect(microbatches).toHaveLength(Math.ceil(countSamples(ranges) / size));
    }),
  );
});
