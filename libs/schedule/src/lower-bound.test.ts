import type { StageTiming } from '@longtail/core';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { cappedOneForwardOneBackward } from './capped.js';
import { listActions } from './lists.js';
import { lowerBound } from './lower-bound.js';
import { simulatePipeline } from './simulate.js';
import { equalStages, stagesOf } from './testing/arbitraries.js';
import { shortestOfAll } from './testing/exhaustive.js';

/** NUMBERS.md: each stage is busy for m(F+B) between the way there and the way back. */
function stageWork(stages: readonly StageTiming[], microbatches: number): number {
  const along = (upTo: number, cost: (timing: StageTiming) => number) =>
    stages.slice(0, upTo).reduce((sum, timing) => sum + cost(timing), 0);
  return Math.max(
    ...stages.map(({ forwardMs, backwardMs }, stage) => {
      const head = along(stage, (timing) => timing.forwardMs + timing.activationHopMs);
      const tail = along(stage, (timing) => timing.backwardMs + timing.gradientHopMs);
      return head + microbatches * (forwardMs + backwardMs) + tail;
    }),
  );
}

const small = fc.integer({ min: 1, max: 3 }).chain((p) => fc.tuple(stagesOf(p), fc.integer({ min: 1, max: p === 3 ? 3 : 5 })));

test('no order at all is shorter, and the best capped one is seldom longer than the best of all', () => {
  const ratios: number[] = [];
  fc.assert(
    fc.property(small, ([stages, microbatches]) => {
      const shortestMs = shortestOfAll(stages, microbatches);
      expect(lowerBound(stages, microbatches)).toBeLessThanOrEqual(shortestMs * (1 + 1e-9));
      const { makespanMs } = simulatePipeline(listActions(cappedOneForwardOneBackward(), stages, microbatches), stages);
      expect(makespanMs).toBeGreaterThanOrEqual(shortestMs);
      ratios.push(makespanMs / shortestMs);
    }),
    { numRuns: 150 },
  );
  expect(ratios.reduce((sum, one) => sum + one, 0) / ratios.length).toBeLessThan(1.01);
});

test('never below the bound of work alone, and above it where few microbatches wait for the way down and back', () => {
  fc.assert(
    fc.property(stagesOf(4), fc.integer({ min: 1, max: 64 }), (stages, microbatches) => {
      expect(lowerBound(stages, microbatches)).toBeGreaterThanOrEqual(stageWork(stages, microbatches) * (1 - 1e-9));
    }),
  );
  const stages = equalStages(2, 1, 5, 0).map((timing, stage) => (stage === 0 ? timing : { ...timing, backwardMs: 1 }));
  // 3 × 5 of backwards on stage 0, none of which can begin before a forward on each and the backward of stage 1.
  expect(stageWork(stages, 3)).toBe(18);
  expect(lowerBound(stages, 3)).toBe(18);
  const far = stages.map((timing, stage) => (stage === 0 ? { ...timing, activationHopMs: 10, gradientHopMs: 10 } : timing));
  expect(stageWork(far, 3)).toBe(32);
  expect(lowerBound(far, 3)).toBe(1 + 22 + 15);
});

test('with the backward split the way back is that of the input gradients', () => {
  const stages = equalStages(3, 2, 3, 1);
  // The last stage: two forwards before it, five times F and I, two I after it, and stage 0's last W.
  expect(lowerBound(stages, 5, { splitsBackward: true })).toBe(4 + 5 * (2 + 3) + 2 * 3 + 1);
});

test('one stash at a time: every microbatch makes its round trip alone', () => {
  const stages = equalStages(3, 2, 3, 1);
  expect(lowerBound(stages, 5, { maxStash: [1, 9, 9] })).toBe(5 * 3 * 6);
  expect(lowerBound(stages, 5, { maxStash: [9, 9, 1], splitsBackward: true })).toBe(4 + 5 * 6 - 1 + 2 * 3 + 1);
});
