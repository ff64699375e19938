import type { BenchArm } from '@longtail/core';
import { afterEach, expect, test, vi } from 'vitest';
import type { Output } from '../terminal/output.js';
import { benchProgress } from './bench-progress.js';

afterEach(() => void vi.useRealTimers());

test('where nothing is redrawn each thing that takes time is said once, and arms that are run in two ways are told apart', () => {
  const notes: string[] = [];
  const events: object[] = [];
  const output = { live: false, note: (text: string) => void notes.push(text), event: (value: object) => void events.push(value) } as unknown as Output;
  const arm = { name: 'bsp fp32', seed: 1, outcome: { status: 'done' } } as BenchArm;
  const progress = benchProgress(output);
  progress.doing('measuring how fast this machine computes a batch');
  for (const part of [0, 0.5, 1]) progress.doing('what a task takes: trains live', part);
  progress.arms(' in virtual time').done(1, 1, arm, false);
  progress.doing('bsp fp32: trains live', 0.1);
  progress.arms().done(1, 1, arm, true);
  progress.end();
  expect(notes).toEqual([
    'measuring how fast this machine computes a batch',
    'what a task takes: trains live',
    '1 of 1: bsp fp32, seed 1 done in virtual time',
    'bsp fp32: trains live',
    '1 of 1: bsp fp32, seed 1 done before',
  ]);
  expect(events.map((event) => ('what' in event ? event.what : 'arm'))).toEqual(['measuring how fast this machine computes a batch', 'what a task takes: trains live', 'arm', 'bsp fp32: trains live', 'arm']);
});

test('long arms say every half minute how far they are, and how much time is left', () => {
  vi.useFakeTimers();
  const said: string[] = [];
  const events: object[] = [];
  const output = { live: false, note: (text: string) => void said.push(text), event: (value: object) => void events.push(value) } as unknown as Output;
  const arms = benchProgress(output).arms();
  arms.underWay(0, 4);
  for (let second = 1; second <= 60; second++) {
    vi.advanceTimersByTime(1000);
    arms.underWay(second / 100, 4);
  }
  expect(said).toEqual(['8 % of 4 arms, 6 min 10 s left', '15 % of 4 arms, 5 min 40 s left']);
  expect(events.at(-1)).toMatchObject({ event: 'under-way', part: 0.15, done: 0, total: 4, leftSeconds: 340 });
});
