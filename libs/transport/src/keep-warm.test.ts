import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { KeepWarm } from './keep-warm.js';

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

it('beats through a short pause, then leaves the link alone until it is used again', () => {
  let beats = 0;
  const warm = new KeepWarm(() => Date.now(), () => beats++);
  vi.advanceTimersByTime(1_000);
  expect(beats).toBe(0);
  warm.used();
  vi.advanceTimersByTime(1_000);
  expect(beats).toBe(10);
  vi.advanceTimersByTime(60_000);
  expect(beats).toBe(10);
  expect(vi.getTimerCount()).toBe(0);
  warm.used();
  vi.advanceTimersByTime(500);
  expect(beats).toBe(15);
  warm.stop();
  vi.advanceTimersByTime(1_000);
  expect(beats).toBe(15);
});
