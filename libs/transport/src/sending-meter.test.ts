import fc from 'fast-check';
import { expect, it } from 'vitest';
import { SendingMeter } from './sending-meter.js';

const PIECE = 64 * 1024;

/** Acknowledgements of a link that is kept busy for a while, then one with nothing behind it. */
function busy(meter: SendingMeter, bytesPerMs: number, fromMs: number, ms: number, roundTripMs = 40): number {
  const every = PIECE / bytesPerMs;
  let atMs = fromMs;
  for (; atMs < fromMs + ms; atMs += every) meter.acknowledged(PIECE, true, atMs, roundTripMs);
  meter.acknowledged(PIECE, false, atMs, roundTripMs);
  return atMs;
}

it('finds the rate of any link that is kept busy, however long the pauses', () => {
  fc.assert(
    fc.property(fc.double({ min: 300, max: 1e5, noNaN: true }), fc.integer({ min: 1, max: 5 }), fc.integer({ min: 0, max: 20_000 }), (bytesPerMs, times, pauseMs) => {
      const meter = new SendingMeter();
      for (let time = 0, fromMs = 0; time < times; time++) fromMs = busy(meter, bytesPerMs, fromMs, 3_000) + pauseMs;
      expect(meter.rate!.bitsPerSecond / (8000 * bytesPerMs)).toBeCloseTo(1, 6);
      expect(meter.rate!.roundTripMs).toBe(40);
    }),
  );
});

it('knows nothing of a link that never had to keep anything waiting, or only for a moment', () => {
  const meter = new SendingMeter();
  for (let atMs = 0; atMs < 10_000; atMs += 50) meter.acknowledged(PIECE, false, atMs, 10);
  for (let fromMs = 20_000; fromMs < 30_000; fromMs += 1_000) busy(meter, 10_000, fromMs, 60, 10);
  expect(meter.rate).toBeUndefined();
});

it('follows a link that changes, in seconds, and gives another object when it knows more', () => {
  const meter = new SendingMeter();
  let atMs = busy(meter, 6_000, 0, 2_000);
  const before = meter.rate;
  atMs = busy(meter, 2_000, atMs, 500);
  expect(meter.rate).not.toBe(before);
  expect(meter.rate!.bitsPerSecond).toBeGreaterThan(8000 * 3_000);
  busy(meter, 2_000, atMs, 6_000);
  expect(meter.rate!.bitsPerSecond / (8000 * 2_000)).toBeLessThan(1.05);
});

it('gives what it saw first no more weight than its time', () => {
  const meter = new SendingMeter();
  const atMs = busy(meter, 1_000, 0, 150);
  busy(meter, 8_000, atMs + 1_000, 450);
  expect(meter.rate!.bitsPerSecond).toBeGreaterThan(8000 * 5_500);
});
