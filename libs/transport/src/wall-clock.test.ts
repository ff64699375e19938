import { afterEach, expect, test, vi } from 'vitest';
import { SleptTime, wallClock } from './wall-clock.js';

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

test('what the machine slept counts, where its monotonic clock leaves it out; what rounding makes of an uptime does not', () => {
  let [monotonic, uptime] = [500, 90_000];
  const slept = new SleptTime(() => monotonic, () => uptime);
  const pass = (awakeMs: number, asleepMs: number) => {
    monotonic += awakeMs;
    uptime += awakeMs + asleepMs;
    slept.notice();
    return slept.ms;
  };
  expect([pass(1000, 0), pass(1000, 9), pass(1000, 3_600_000), pass(1000, -9), pass(1000, 60_000)]).toEqual([0, 0, 3_600_009, 3_600_009, 3_660_000]);
});

test('a timer runs out once for each time that it is set', () => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'setImmediate', 'clearImmediate'] });
  let rings = 0;
  const timer = wallClock.timer(() => rings++);
  timer.set(10);
  timer.set(20);
  vi.advanceTimersByTime(19);
  expect(rings).toBe(0);
  vi.advanceTimersByTime(1);
  timer.set(0);
  vi.advanceTimersByTime(0);
  expect(rings).toBe(2);
  timer.set(10);
  timer.clear();
  vi.advanceTimersByTime(1000);
  expect(rings).toBe(2);
});

test('months are waited for whole, which are more than the system takes of a timer', async () => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
  const days = (count: number): number => count * 86_400_000;
  const rung: string[] = [];
  const asleep = wallClock.sleep(days(30), new AbortController().signal).then(() => rung.push('sleep'));
  wallClock.timer(() => rung.push('timer')).set(days(60));
  const calledOff = wallClock.timer(() => rung.push('called off'));
  calledOff.set(days(40));
  vi.advanceTimersByTime(days(29));
  calledOff.clear();
  expect([...rung, vi.getTimerCount()]).toEqual([2]);
  vi.advanceTimersByTime(days(2));
  await asleep;
  expect(rung).toEqual(['sleep']);
  vi.advanceTimersByTime(days(30));
  expect([...rung, vi.getTimerCount()]).toEqual(['sleep', 'timer', 0]);
});
