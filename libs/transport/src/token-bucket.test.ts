import fc from 'fast-check';
import { expect, it } from 'vitest';
import { TokenBucket } from './token-bucket.js';

const BURST = 10_000;

it('lets no more through than the rate and a burst, whatever comes when, and no less to who always wants', () => {
  const wishes = fc.array(fc.record({ bytes: fc.integer({ min: 1, max: BURST }), idleMs: fc.oneof(fc.constant(0), fc.double({ min: 0, max: 500, noNaN: true })) }), {
    minLength: 1,
    maxLength: 50,
  });
  fc.assert(
    fc.property(wishes, fc.integer({ min: 1e4, max: 1e9 }), (pieces, bitsPerSecond) => {
      const bucket = new TokenBucket(bitsPerSecond, BURST);
      const sent: { atMs: number; bytes: number }[] = [];
      let nowMs = 0;
      for (const { bytes, idleMs } of pieces) {
        nowMs += idleMs;
        nowMs += bucket.waitMs(bytes, nowMs);
        bucket.take(bytes, nowMs);
        sent.push({ atMs: nowMs, bytes });
      }
      for (const [first, { atMs: fromMs }] of sent.entries()) {
        let bytes = 0;
        for (const piece of sent.slice(first)) {
          bytes += piece.bytes;
          expect(bytes).toBeLessThanOrEqual(((piece.atMs - fromMs) * bitsPerSecond) / 8000 + BURST + 1e-3);
        }
      }
      const total = sent.reduce((sum, { bytes }) => sum + bytes, 0);
      const idle = pieces.reduce((sum, { idleMs }) => sum + idleMs, 0);
      expect(nowMs).toBeLessThanOrEqual(idle + (8000 * total) / bitsPerSecond + 1e-6);
    }),
  );
});

it('says when what was taken has passed', () => {
  const bucket = new TokenBucket(8e6, 0); // a byte a microsecond
  expect(bucket.take(1_000, 5)).toBe(6);
  expect(bucket.take(500, 5.5)).toBe(6.5);
  expect(bucket.take(500, 100)).toBe(100.5);
});
