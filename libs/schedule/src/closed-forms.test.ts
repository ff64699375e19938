import type { Schedule, StageTiming } from '@longtail/core';
import { expect, test } from 'vitest';
import { cappedOneForwardOneBackward } from './capped.js';
import { gpipe } from './gpipe.js';
import { interleaved } from './interleaved.js';
import { listActions } from './lists.js';
import { oneForwardOneBackward } from './one-forward-one-backward.js';
import { simulatePipeline } from './simulate.js';
import { equalStages } from './testing/arbitraries.js';
import { zeroBubble } from './zero-bubble.js';

const WORKERS = [2, 3, 4, 5, 6, 7, 8];
const MICROBATCHES = [1, 2, 3, 5, 8, 13, 32];

const makespan = (schedule: Schedule, stages: readonly StageTiming[], microbatches: number) =>
  simulatePipeline(listActions(schedule, stages, microbatches), stages).makespanMs;

test.each(WORKERS)('%i equal stages, any number of microbatches: GPipe and 1F1B take (m+p−1)(F+B), and capped 1F1B no longer', (p) => {
  for (const m of MICROBATCHES) {
    for (const [forward, backward] of [
      [1, 1],
      [3, 7],
      [5, 2],
    ] as const) {
      const stages = equalStages(p, forward, backward, 0);
      const expected = (m + p - 1) * (forward + backward);
      expect(makespan(gpipe(), stages, m)).toBe(expected);
      expect(makespan(oneForwardOneBackward(), stages, m)).toBe(expected);
      expect(makespan(cappedOneForwardOneBackward(), stages, m)).toBe(expected);
    }
  }
});

test.each(WORKERS)('%i workers, m a multiple of p: interleaved takes m(F+B)+(p−1)(F+B)/v', (p) => {
  for (const chunks of [1, 2, 3, 4]) {
    for (const m of [p, 2 * p, 5 * p]) {
      const [forward, backward] = [2, 5];
      const stages = equalStages(p * chunks, forward, backward, 0);
      // F and B of the formula are those of all the worker's chunks.
      const whole = chunks * (forward + backward);
      expect(makespan(interleaved({ chunks }), stages, m)).toBe(m * whole + ((p - 1) * whole) / chunks);
    }
  }
});

test.each(WORKERS)('%i stages, m ≥ p and W no longer than F and I: ZB-H1 takes m(F+I+W)+(p−1)(F+I−W)', (p) => {
  for (const m of [p, p + 1, 2 * p, 32]) {
    for (const [forward, input, weight] of [
      [1, 1, 1],
      [3, 4, 2],
      [4, 3, 3],
      [2, 2, 0],
    ] as const) {
      const expected = m * (forward + input + weight) + (p - 1) * (forward + input - weight);
      expect(makespan(zeroBubble(), equalStages(p, forward, input, weight), m)).toBe(expected);
    }
  }
});

test('one stage: no schedule leaves a bubble', () => {
  for (const schedule of [gpipe(), oneForwardOneBackward(), zeroBubble(), interleaved({ chunks: 1 }), cappedOneForwardOneBackward()]) {
    expect(makespan(schedule, equalStages(1, 2, 3, 1), 7)).toBe(7 * 6);
  }
  expect(makespan(interleaved({ chunks: 3 }), equalStages(3, 2, 3, 1), 7)).toBe(3 * 7 * 6);
});

test('plain 1F1B stashes p−s, ZB-H1 p everywhere, GPipe everything', () => {
  const stages = equalStages(4, 1, 1, 1);
  const stashes = (schedule: Schedule) =>
    simulatePipeline(listActions(schedule, stages, 12), stages).ranks.map(({ peakStash }) => peakStash);
  expect(stashes(oneForwardOneBackward())).toEqual([4, 3, 2, 1]);
  expect(stashes(zeroBubble())).toEqual([4, 4, 4, 4]);
  expect(stashes(gpipe())).toEqual([12, 12, 12, 12]);
});
