import fc from 'fast-check';
import { expect, test } from 'vitest';
import { fromBfloat16, fromFloat16, toBfloat16, toFloat16 } from './half.js';

const bits = fc.integer({ min: 0, max: 0xffff });

test.each([
  ['float16', toFloat16, fromFloat16],
  ['bfloat16', toBfloat16, fromBfloat16],
] as const)('%s: every bit pattern but NaN survives the way through float32', (_, to, from) => {
  for (let half = 0; half < 0x10000; half++) {
    const value = from(half);
    if (Number.isNaN(value)) expect(Number.isNaN(from(to(value)))).toBe(true);
    else if (to(value) !== half) expect(to(value)).toBe(half);
  }
});

test.each([
  ['float16', toFloat16, fromFloat16, 0x7c00],
  ['bfloat16', toBfloat16, fromBfloat16, 0x7f80],
] as const)('%s: a value between two neighbours goes to the nearer, a tie to the even one', (_, to, from, infinity) => {
  fc.assert(
    fc.property(bits, fc.double({ min: 0, max: 1, noNaN: true }), (pattern, where) => {
      const low = pattern % (infinity - 1);
      const [a, b] = [from(low), from(low + 1)];
      const value = Math.fround(a + where * (b - a));
      const expected = value - a < b - value ? low : value - a > b - value ? low + 1 : low + (low & 1);
      expect(to(value)).toBe(expected);
      expect(to(-value)).toBe(expected | 0x8000);
    }),
  );
});

test('half precision overflows where IEEE 754 says', () => {
  expect(fromFloat16(toFloat16(65519.996))).toBe(65504);
  expect(fromFloat16(toFloat16(65520))).toBe(Infinity);
  expect(fromFloat16(toFloat16(-Infinity))).toBe(-Infinity);
  expect(toFloat16(2 ** -25)).toBe(0);
  expect(toFloat16(2 ** -25 * 1.001)).toBe(1);
});
