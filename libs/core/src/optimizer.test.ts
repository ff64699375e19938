import { describe, expect, it } from 'vitest';
import { allFinite, sumOfSquares } from './optimizer.js';

describe('allFinite', () => {
  it.each([NaN, Infinity, -Infinity])('finds %s wherever it is', (value) => {
    for (const at of [0, 500, 999]) expect(allFinite(Float32Array.from({ length: 1000 }, (_, i) => (i === at ? value : i)))).toBe(false);
  });

  it('takes the largest float32 for what it is', () => {
    const largest = new Float32Array(100_000).fill(3.4028234663852886e38);
    expect(allFinite(largest)).toBe(true);
    expect(allFinite(new Float32Array(0))).toBe(true);
  });
});

it('adds squares up in float64', () => {
  expect(sumOfSquares(Float32Array.of(1, 2 ** -13))).toBe(1 + 2 ** -26);
  expect(sumOfSquares(Float32Array.of(2 ** 70, 2 ** 71))).toBe(5 * 2 ** 140);
});
