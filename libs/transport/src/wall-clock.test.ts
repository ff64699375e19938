import { afterEach, expect, test, vi } from 'vitest';
import { wallClock } from './wall-clock.js';

afterEach(() => {
  vi.useRealTimers();
});

test.each([-3_600_000, 3_600_000])('the machine’s clock may be set %i ms on: time goes on as it did, and never back', (byMs) => {
  const before = wallClock.nowMs();
  vi.useFakeTimers({ toFake: ['Date'], now: Date.now() + byMs });
  expect(Math.abs(Date.now() - before)).toBeGreaterThan(3_000_000);
  const after = wallClock.nowMs();
  expect(after).toBeGreaterThanOrEqual(before);
  expect(after - before).toBeLessThan(3_000_000);
});
