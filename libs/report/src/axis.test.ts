import fc from 'fast-check';
import { expect, test } from 'vitest';
import { linearAxis, lossAxis, quantityAxis, toPixels, type Axis } from './axis.js';
import { BYTES, formatRange, inUnits, TIME } from './quantity.js';

const positive = fc.double({ min: 1e-3, max: 1e12, noNaN: true });

function expectSound({ domain: [from, to], ticks, format }: Axis): void {
  expect(to).toBeGreaterThan(from);
  for (const tick of ticks) {
    expect(tick).toBeGreaterThanOrEqual(from - 1e-9 * Math.abs(from));
    expect(tick).toBeLessThanOrEqual(to + 1e-9 * Math.abs(to));
  }
  expect(new Set(ticks.map(format)).size).toBe(ticks.length);
  expect(ticks.map(format).join()).not.toMatch(/NaN|Infinity|undefined/);
}

test('an axis of a quantity holds all that it shows, and its ticks differ', () => {
  fc.assert(
    fc.property(
      fc.constantFrom(TIME, BYTES),
      fc.array(positive, { minLength: 1, maxLength: 8 }),
      fc.double({ min: 1e-4, max: 1, noNaN: true }),
      (quantity, ends, part) => {
        const axis = quantityAxis(quantity, ends, Math.min(...ends) * part);
        expectSound(axis);
        expect(axis.domain[1]).toBeGreaterThanOrEqual(Math.max(...ends));
        if (axis.type === 'linear') expect(axis.ticks.length).toBeGreaterThanOrEqual(3);
      },
    ),
  );
});

test('an axis of losses holds them all', () => {
  fc.assert(
    fc.property(fc.array(fc.double({ min: -10, max: 1e4, noNaN: true }), { minLength: 1, maxLength: 20 }), (drawn) => {
      // No loss is told apart from zero below this.
      const losses = drawn.map((loss) => Math.round(loss * 1e6) / 1e6);
      const axis = lossAxis(losses, 'Loss');
      expectSound(axis);
      expect(axis.domain[0]).toBeLessThanOrEqual(Math.min(...losses));
      expect(axis.domain[1]).toBeGreaterThanOrEqual(Math.max(...losses));
      for (const loss of losses) expect(toPixels(axis, [0, 100], loss)).toSatisfy((at: number) => at > -1e-6 && at < 100 + 1e-6);
    }),
  );
});

test('losses that only rounding tells apart are on an axis that ends', () => {
  fc.assert(
    fc.property(fc.double({ min: 1e-6, max: 1e6, noNaN: true }), fc.integer({ min: 0, max: 40 }), (loss, bits) => {
      const axis = lossAxis([loss, loss * (1 + 2 ** (bits - 52))], 'Loss');
      expectSound(axis);
      expect(axis.ticks.length).toBeLessThan(20);
    }),
  );
});

test('ticks fall on round numbers of a unit that people use', () => {
  const written = ({ ticks, format, label }: Axis): string => `${label}: ${ticks.map(format).join(' ')}`;
  expect(written(linearAxis(TIME, 0, 5_400_000))).toBe('Time (min): 0 20 40 60 80');
  expect(written(linearAxis(TIME, 0, 9_000_000))).toBe('Time (h): 0 0.5 1 1.5 2 2.5');
  expect(written(linearAxis(TIME, 0, 180))).toBe('Time (ms): 0 50 100 150');
  expect(written(quantityAxis(BYTES, [3e6, 4e9], 1e5))).toContain('100 kB 1 MB 10 MB 100 MB 1 GB');
  expect(written(quantityAxis(TIME, [5_000, 8_000_000], 1_000))).toContain('1 s 10 s 1 min 10 min 1 h');
  expect(written(lossAxis([0.01, 4], 'Loss'))).toBe('Loss (logarithmic): 0.01 0.1 1');
});

test('a value has three digits and the unit that suits', () => {
  expect([950, 59_990, 1_224_000, 4_000_000, 200_000_000].map(inUnits(TIME))).toEqual([
    '950 ms',
    '1.00 min',
    '20.4 min',
    '1.11 h',
    '2.31 d',
  ]);
  expect([0, 512, 1_500, 93_140_000].map(inUnits(BYTES))).toEqual(['0 B', '512 B', '1.50 kB', '93.1 MB']);
  expect(formatRange(1_710_000, 1_794_000, inUnits(TIME))).toBe('28.5 – 29.9 min');
  expect(formatRange(50_000, 70_000, inUnits(TIME))).toBe('50.0 s – 1.17 min');
});
