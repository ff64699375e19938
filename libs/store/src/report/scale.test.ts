import fc from 'fast-check';
import { expect, test } from 'vitest';
import { formatAxisCount, formatClock, logScale, niceScale, timeScale } from './scale.js';

const range = fc
  .tuple(fc.double({ min: -1e6, max: 1e6, noNaN: true }), fc.double({ min: 1e-3, max: 1e6, noNaN: true }))
  .map(([low, span]) => [low, low + span] as const);

test('a nice axis holds its range, with a handful of rising ticks from end to end', () => {
  fc.assert(
    fc.property(range, ([low, high]) => {
      const scale = niceScale(low, high, 5);
      const slack = (high - low) * 1e-6;
      expect(scale.min).toBeLessThanOrEqual(low + slack);
      expect(scale.max).toBeGreaterThanOrEqual(high - slack);
      expect(scale.ticks.length).toBeGreaterThanOrEqual(2);
      expect(scale.ticks.length).toBeLessThanOrEqual(8);
      expect(scale.at(scale.min)).toBeCloseTo(0);
      expect(scale.at(scale.max)).toBeCloseTo(1);
    }),
  );
});

test('a logarithmic axis holds its range and never leaves it', () => {
  fc.assert(
    fc.property(fc.double({ min: -8, max: 8, noNaN: true }), fc.double({ min: 0.1, max: 9, noNaN: true }), (power, span) => {
      const [low, high] = [10 ** power, 10 ** (power + span)];
      const scale = logScale(low, high);
      expect(scale.at(low)).toBeGreaterThanOrEqual(-1e-6);
      expect(scale.at(high)).toBeLessThanOrEqual(1 + 1e-6);
      expect(scale.ticks.length).toBeGreaterThanOrEqual(1);
      expect(scale.ticks.length).toBeLessThanOrEqual(20);
    }),
  );
});

test.each([
  [0.4, [0, 0.1, 0.2, 0.3, 0.4]],
  [44, [0, 10, 20, 30, 40]],
  [600, [0, 120, 240, 360, 480, 600]],
  [9000, [0, 1800, 3600, 5400, 7200, 9000]],
])('time ticks of %d s are round', (seconds, ticks) => {
  expect(timeScale(seconds, 5).ticks.map((tick) => Number(tick.toFixed(3)))).toEqual(ticks);
});

test('times and counts on an axis', () => {
  expect([formatClock(0.25, 4), formatClock(7, 44), formatClock(90, 600), formatClock(3700, 9000)]).toEqual([
    '0.25 s',
    '7 s',
    '1:30',
    '1:01:40',
  ]);
  expect([0, 5, 20_000, 150_000, 1.5e6, 2e9].map(formatAxisCount)).toEqual(['0', '5', '20k', '150k', '1.5M', '2G']);
});
