import { createRng } from '@longtail/core';
import { expect, test } from 'vitest';
import { draw, drawExponential, drawWeibull } from './draw.js';

const rng = createRng('draw');
const many = (next: () => number) => Array.from({ length: 20_000 }, next);
const mean = (values: readonly number[]) => values.reduce((sum, value) => sum + value, 0) / values.length;
const median = (values: readonly number[]) => [...values].sort((a, b) => a - b)[values.length / 2]!;

test('quantities are drawn as the scenario says', () => {
  expect(draw(7, rng)).toBe(7);
  const uniform = many(() => draw({ from: 10, to: 30 }, rng));
  expect(Math.min(...uniform)).toBeGreaterThanOrEqual(10);
  expect(Math.max(...uniform)).toBeLessThan(30);
  expect(mean(uniform)).toBeCloseTo(20, 0);
  const lognormal = many(() => draw({ median: 20, sigma: 0.8 }, rng));
  expect(median(lognormal) / 20).toBeCloseTo(1, 1);
  expect(mean(lognormal) / (20 * Math.exp(0.32))).toBeCloseTo(1, 1);
});

test('times that machines stay have the mean that was asked for, whatever the shape', () => {
  expect(mean(many(() => drawExponential(5, rng)))).toBeCloseTo(5, 0);
  for (const shape of [0.7, 1, 2, 5]) expect(mean(many(() => drawWeibull(5, shape, rng))) / 5).toBeCloseTo(1, 1);
  expect(median(many(() => drawWeibull(5, 1, rng))) / (5 * Math.LN2)).toBeCloseTo(1, 1);
});
