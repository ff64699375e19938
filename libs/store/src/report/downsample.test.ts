import fc from 'fast-check';
import { expect, test } from 'vitest';
import { downsample, smooth } from './downsample.js';

const curve = fc
  .array(fc.double({ min: -1e6, max: 1e6, noNaN: true }), { minLength: 1, maxLength: 300 })
  .map((values) => values.map((y, x) => ({ x, y })));

test('a curve keeps its ends, its order and only points it had', () => {
  fc.assert(
    fc.property(curve, fc.integer({ min: 3, max: 50 }), (points, count) => {
      const kept = downsample(points, count);
      expect(kept).toHaveLength(Math.min(points.length, count));
      expect(kept[0]).toBe(points[0]);
      expect(kept.at(-1)).toBe(points.at(-1));
      expect(kept.every((point, i) => points.includes(point) && (i === 0 || kept[i - 1].x < point.x))).toBe(true);
    }),
  );
});

test('a single spike survives', () => {
  const points = Array.from({ length: 10_000 }, (_, x) => ({ x, y: x === 6543 ? 1 : 0 }));
  expect(downsample(points, 50)).toContain(points[6543]);
});

test('smoothing keeps a straight line but near its end, and stays between the extremes', () => {
  const straight = Array.from({ length: 50 }, (_, x) => ({ x, y: 3 * x }));
  smooth(straight, 7)
    .slice(0, -7)
    .forEach(({ y }, x) => expect(y).toBeCloseTo(3 * x));
  fc.assert(
    fc.property(curve, fc.integer({ min: 0, max: 40 }), (points, reach) => {
      const values = points.map(({ y }) => y);
      const [low, high] = [Math.min(...values), Math.max(...values)];
      for (const { y } of smooth(points, reach)) expect(y >= low - 1e-3 && y <= high + 1e-3).toBe(true);
    }),
  );
});
