import type { Clock } from '@longtail/core';
import { expect, test } from 'vitest';
import { Bell } from './bell.js';

/** Each timer as it is set; undefined: it is not. */
const timers: { ms: number | undefined; readonly ring: () => void }[] = [];
const clock: Clock = {
  nowMs: () => 100,
  sleep: () => expect.unreachable(),
  timer(ring) {
    const timer = { ms: undefined as number | undefined, ring };
    timers.push(timer);
    return { set: (ms) => (timer.ms = ms), clear: () => (timer.ms = undefined) };
  },
};

test('rings with nobody waiting count as one', async () => {
  const bell = new Bell(clock);
  bell.ring();
  bell.ring();
  await bell.wait();
  let woken = false;
  const second = bell.wait().then(() => (woken = true));
  await new Promise((resolve) => setImmediate(resolve));
  expect(woken).toBe(false);
  bell.ring();
  await second;
});

test('a ring calls the timer off; the time wakes without a ring; one timer does for all waits', async () => {
  const bell = new Bell(clock);
  const before = timers.length;
  const rung = bell.wait(600);
  const timer = timers.at(-1)!;
  expect(timer.ms).toBe(500);
  bell.ring();
  await rung;
  expect(timer.ms).toBeUndefined();
  const timed = bell.wait(800);
  expect(timer.ms).toBe(700);
  timer.ring();
  await timed;
  const past = bell.wait(50);
  expect(timer.ms).toBe(0);
  timer.ring();
  await past;
  expect(timers.length).toBe(before + 1);
});

test('an abort wakes with its reason', async () => {
  const bell = new Bell(clock);
  const stop = new AbortController();
  const waiting = bell.wait(700, stop.signal);
  stop.abort(new Error('cancelled'));
  await expect(waiting).rejects.toThrow('cancelled');
  expect(timers.at(-1)!.ms).toBeUndefined();
  await expect(bell.wait(undefined, stop.signal)).rejects.toThrow('cancelled');
});

test('one waits at a time', async () => {
  const bell = new Bell(clock);
  const first = bell.wait();
  await expect(bell.wait()).rejects.toThrow('two wait for one bell');
  bell.ring();
  await first;
});
