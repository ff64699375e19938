import type { Batch } from '@longtail/core';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { microbatches } from './microbatches.js';

function batch(samples: number): Batch {
  const inputs = { dtype: 'float32', shape: [samples, 2], data: Float32Array.from({ length: 2 * samples }, (_, i) => i) } as const;
  return { samples, inputs, targets: { dtype: 'int32', shape: [samples], data: Int32Array.from({ length: samples }, (_, i) => i) } };
}

test('parts hold every sample once, in order, none above the limit', () => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 200 }), fc.integer({ min: 1, max: 70 }), (samples, limit) => {
      const parts = microbatches(batch(samples), limit);
      expect(parts.flatMap((part) => [...part.inputs.data])).toEqual([...batch(samples).inputs.data]);
      expect(parts.flatMap((part) => [...part.targets.data])).toEqual([...batch(samples).targets.data]);
      for (const part of parts) {
        expect(part.samples).toBeLessThanOrEqual(limit);
        expect([part.inputs.shape, part.targets.shape]).toEqual([[part.samples, 2], [part.samples]]);
      }
    }),
  );
});
