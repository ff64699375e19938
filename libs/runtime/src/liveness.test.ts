import fc from 'fast-check';
import { expect, test } from 'vitest';
import { liveness } from './liveness.js';

test('a busy link carries no heartbeats', () => {
  expect(liveness({ lastHeardMs: 900, lastSentMs: 900 }, 1000, 200)).toEqual({ dead: false, send: false, wakeAtMs: 1100 });
});

test('an idle link does, once a heartbeat', () => {
  expect(liveness({ lastHeardMs: 900, lastSentMs: 800 }, 1000, 200)).toEqual({ dead: false, send: true, wakeAtMs: 1200 });
});

test('three heartbeats of silence are the end', () => {
  expect(liveness({ lastHeardMs: 400, lastSentMs: 900 }, 999, 200).dead).toBe(false);
  expect(liveness({ lastHeardMs: 400, lastSentMs: 900 }, 1000, 200).dead).toBe(true);
});

test('a live link is looked at again later, and in time to notice silence', () => {
  fc.assert(
    fc.property(fc.nat(10_000), fc.nat(10_000), fc.nat(10_000), fc.integer({ min: 1, max: 5000 }), (heard, sent, later, heartbeatMs) => {
      const now = Math.max(heard, sent) + later;
      const { dead, wakeAtMs } = liveness({ lastHeardMs: heard, lastSentMs: sent }, now, heartbeatMs);
      if (!dead) expect(wakeAtMs).toBeGreaterThan(now);
      expect(wakeAtMs).toBeLessThanOrEqual(heard + 3 * heartbeatMs);
    }),
  );
});
