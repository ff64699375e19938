import type { BatchStats, ParameterLayout } from '@longtail/core';
import { expect } from 'vitest';

/**
 * Asserts ‖a − b‖ ≤ limit · ‖b‖ for each tensor. Never element by element: sums in another order leave small elements
 * with large relative errors. A tensor that is nothing but rounding (below 1e-4 of the whole vector's norm) is compared
 * with the whole.
 */
export function expectClose(layout: ParameterLayout, actual: Float32Array, expected: Float32Array, limit = 1e-5): void {
  const whole = norm(expected, 0, expected.length);
  for (const { name, offset, length } of layout.slots) {
    const difference = Math.sqrt(actual.subarray(offset, offset + length).reduce((sum, x, i) => sum + (x - expected[offset + i]) ** 2, 0));
    const scale = Math.max(norm(expected, offset, length), 1e-4 * whole);
    expect(scale === 0 ? difference : difference / scale, `relative difference of ${name}`).toBeLessThanOrEqual(limit);
  }
}

export function norm(values: Float32Array, offset: number, length: number): number {
  let sum = 0;
  for (let i = offset; i < offset + length; i++) sum += values[i] ** 2;
  return Math.sqrt(sum);
}

export function expectStats(actual: BatchStats, expected: BatchStats): void {
  expect({ ...actual, lossSum: 0 }).toEqual({ ...expected, lossSum: 0 });
  expect(Math.abs(actual.lossSum - expected.lossSum) / Math.abs(expected.lossSum)).toBeLessThan(1e-5);
}
