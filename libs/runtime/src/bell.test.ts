import type { Clock } from '@longtail/core';
import { expect, test } from 'vitest';
import { Bell } from './bell.js';

const timers: { readonly ms: number; readonly fire: () => void; readonly signal: AbortSignal }[] = [];
const clock: Clock = {
  nowMs: () => 0,
  sleep: (ms, signal) =>
    new Promise((resolve, reject) => {
      timers.push({ ms, fire: resolve, signal });
      signal.addEventListener('abort', () => reject(signal.reason as Error));
    }),
};

test('rings with nobody waiting count as one', async () => {
  const bell = new Bell();
  bell.ring();
  bell.ring();
  await bell.wait(undefined, clock);
  let woken = false;
  const second = bell.wait(undefined, clock).then(() => (woken = true));
  await new Promise((resolve) => setImmediate(resolve));
  expect(woken).toBe(false);
  bell.ring();
  await second;
});

test('a ring calls the timer off; the time wakes without a ring', async () => {
  const bell = new Bell();
  const rung = bell.wait(500, clock);
  bell.ring();
  await rung;
  expect(timers.at(-1)).toMatchObject({ ms: 500 });
  expect(timers.at(-1)!.signal.aborted).toBe(true);
  const timed = bell.wait(700, clock);
  timers.at(-1)!.fire();
  await timed;
});

test('an abort wakes with its reason', async () => {
  const bell = new Bell();
  const stop = new AbortController();
  const waiting = bell.wait(undefined, clock, stop.signal);
  stop.abort(new Error('cancelled'));
  await expect(waiting).rejects.toThrow('cancelled');
  await expect(bell.wait(undefined, clock, stop.signal)).rejects.toThrow('cancelled');
});
