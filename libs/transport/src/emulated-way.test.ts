import fc from 'fast-check';
import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { EmulatedWay } from './emulated-way.js';
import { wireBytes } from './token-bucket.js';

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

it('delivers in order, each when its bytes have passed at the rate and the delay is over', () => {
  const sends = fc.array(fc.record({ afterMs: fc.integer({ min: 0, max: 200 }), bytes: fc.integer({ min: 0, max: 50_000 }) }), { minLength: 1, maxLength: 30 });
  fc.assert(
    fc.property(sends, fc.integer({ min: 1e6, max: 1e9 }), fc.integer({ min: 0, max: 100 }), (list, bitsPerSecond, delayMs) => {
      const startMs = Date.now();
      const way = new EmulatedWay(bitsPerSecond, delayMs, () => Date.now());
      const delivered: { index: number; atMs: number }[] = [];
      const expected: number[] = [];
      let freeMs = 0;
      for (const [index, { afterMs, bytes }] of list.entries()) {
        vi.advanceTimersByTime(afterMs);
        const nowMs = Date.now() - startMs;
        freeMs = Math.max(freeMs, nowMs) + (8000 * wireBytes(bytes)) / bitsPerSecond;
        expected.push(freeMs + delayMs);
        const waitMs = way.carry(bytes, () => delivered.push({ index, atMs: Date.now() - startMs }));
        expect(waitMs).toBeCloseTo(freeMs - nowMs, 2);
      }
      vi.runAllTimers();
      expect(delivered.map(({ index }) => index)).toEqual(list.map((_, index) => index));
      for (const { index, atMs } of delivered) expect(Math.abs(atMs - expected[index]!)).toBeLessThanOrEqual(1.01);
    }),
  );
});

it('without a rate only the delay counts', () => {
  const way = new EmulatedWay(Infinity, 20, () => Date.now());
  let arrived = 0;
  for (let index = 0; index < 3; index++) way.carry(1e9, () => arrived++);
  vi.advanceTimersByTime(19);
  expect(arrived).toBe(0);
  vi.advanceTimersByTime(1);
  expect(arrived).toBe(3);
});

it('delivers nothing after it was closed', () => {
  const way = new EmulatedWay(1e6, 20, () => Date.now());
  way.carry(1_000, () => expect.unreachable());
  way.close();
  vi.runAllTimers();
  expect(vi.getTimerCount()).toBe(0);
});
