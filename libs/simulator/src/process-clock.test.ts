import { expect, test } from 'vitest';
import { ProcessClock } from './process-clock.js';
import { VirtualClock } from './virtual-clock.js';

const never = new AbortController().signal;

test('a clock that jumps ahead is ahead of the others from then on; who sleeps is not woken earlier', async () => {
  const time = new VirtualClock();
  const [own, other] = [new ProcessClock(time), new ProcessClock(time)];
  time.at(10, () => own.jump(3_600_000));
  await time.runUntil(own.sleep(25, never));
  expect([own.nowMs(), other.nowMs()]).toEqual([3_600_025, 25]);
});

test('nobody wakes in a process that stands still', async () => {
  const time = new VirtualClock();
  const clock = new ProcessClock(time);
  time.at(10, () => clock.freeze(60_000));
  await time.runUntil(clock.sleep(25, never));
  expect(clock.nowMs()).toBe(60_010);
});

test('a timer runs out once for each time that it is set, and not while the process stands still', async () => {
  const time = new VirtualClock();
  const clock = new ProcessClock(time);
  const rangAtMs: number[] = [];
  const timer = clock.timer(() => rangAtMs.push(clock.nowMs()));
  timer.set(10);
  timer.set(20);
  time.at(30, () => timer.set(10));
  time.at(35, () => clock.freeze(60_000));
  time.at(70_000, () => timer.set(10));
  time.at(70_005, () => timer.clear());
  await time.runUntil(clock.sleep(80_000, never));
  expect(rangAtMs).toEqual([20, 60_035]);
});
