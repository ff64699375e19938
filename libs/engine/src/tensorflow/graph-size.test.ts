import fc from 'fast-check';
import { expect, test } from 'vitest';
import { graphSize, partSize } from './graph-size.js';

const samples = fc.integer({ min: 1, max: 100_000 });

test('a graph holds the batch and pads at most an eighth', () => {
  fc.assert(
    fc.property(samples, (count) => {
      const size = graphSize(count);
      expect(size).toBeGreaterThanOrEqual(count);
      expect(size).toBeLessThanOrEqual(count * 1.125);
      expect(graphSize(size)).toBe(size);
    }),
  );
});

test('sizes come in eight steps an octave', () => {
  for (let octave = 3; octave < 12; octave++) {
    const counts = Array.from({ length: 2 ** octave }, (_, i) => 2 ** octave + i);
    expect(new Set(counts.map(graphSize)).size).toBeLessThanOrEqual(9); // the last rounds up to the next octave
  }
});

test('powers of two and small batches are not padded', () => {
  for (const count of [1, 5, 13, 16, 32, 64, 128, 4096]) expect(graphSize(count)).toBe(count);
});

test('parts stay below the limit, and no part is more than one smaller than need be', () => {
  fc.assert(
    fc.property(samples, fc.integer({ min: 1, max: 4096 }), (count, limit) => {
      const size = partSize(count, limit);
      expect(size).toBeLessThanOrEqual(limit);
      expect(Math.ceil(count / size)).toBe(Math.ceil(count / limit));
    }),
  );
});
