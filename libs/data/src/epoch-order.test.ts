import fc from 'fast-check';
import { expect, test } from 'vitest';
import { epochOrder } from './epoch-order.js';

test('an order is a bijection, and ranges agree with single positions', () => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 3000 }), fc.integer(), fc.nat(), (length, seed, epoch) => {
      const order = epochOrder(length, seed, epoch);
      const all = order.indices({ start: 0, end: length });
      expect(new Set(all).size).toBe(length);
      expect(all.every((index) => index >= 0 && index < length)).toBe(true);
      const middle = length >>> 1;
      expect(order.indices({ start: middle, end: length })).toEqual(all.subarray(middle));
      expect(order.index(middle)).toBe(all[middle]);
    }),
  );
});

test('equal seeds give equal orders; other epochs and seeds give others', () => {
  const order = (seed: number, epoch: number): string => epochOrder(500, seed, epoch).indices({ start: 0, end: 500 }).join();
  expect(order(1, 2)).toBe(order(1, 2));
  expect(order(1, 2)).not.toBe(order(1, 3));
  expect(order(1, 2)).not.toBe(order(2, 2));
});

// Pearson's chi-square over where a sample lands: mean 15, standard deviation √30 for 16 cells.
test.each([[7], [100], [1000]])('positions of a length of %i are uniform over seeds and independent of their neighbours', (length) => {
  const cells = Math.min(16, length);
  const epochs = 4000;
  const first = new Float64Array(cells);
  const step = new Float64Array(cells);
  for (let epoch = 0; epoch < epochs; epoch++) {
    const [a, b] = epochOrder(length, 1, epoch).indices({ start: 0, end: 2 });
    first[Math.floor((a * cells) / length)]++;
    step[Math.floor((((b - a + length) % length) * cells) / length)]++;
  }
  const chiSquare = (counts: Float64Array, expected: (cell: number) => number): number =>
    counts.reduce((sum, count, cell) => sum + (expected(cell) === 0 ? 0 : (count - expected(cell)) ** 2 / expected(cell)), 0);
  const perCell = (cell: number): number => {
    let values = 0;
    for (let v = 0; v < length; v++) if (Math.floor((v * cells) / length) === cell) values++;
    return values;
  };
  expect(chiSquare(first, (cell) => (epochs * perCell(cell)) / length)).toBeLessThan(45);
  // A difference of 0 cannot be.
  expect(chiSquare(step, (cell) => (epochs * (perCell(cell) - (cell === 0 ? 1 : 0))) / (length - 1))).toBeLessThan(45);
});

test('the largest order stays in range', () => {
  const order = epochOrder(2 ** 31 - 1, 5, 0);
  for (const position of [0, 1, 2 ** 30, 2 ** 31 - 2]) {
    expect(order.index(position)).toBeGreaterThanOrEqual(0);
    expect(order.index(position)).toBeLessThan(2 ** 31 - 1);
  }
  expect(() => order.index(2 ** 31 - 1)).toThrow(RangeError);
});
