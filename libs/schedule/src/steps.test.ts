import type { StageTiming } from '@longtail/core';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { createSchedule } from './create.js';
import { listActions } from './lists.js';
import { simulatePipeline } from './simulate.js';
import { simulateSteps } from './steps.js';

const stage = (forwardMs: number): StageTiming => ({ forwardMs, backwardMs: 2 * forwardMs, inputGradientMs: forwardMs, activationHopMs: 0, gradientHopMs: 0 });
const listsOf = (stages: readonly StageTiming[], microbatches: number) => listActions(createSchedule('capped-1f1b'), stages, microbatches);
const own = (ownMs: number) => ({ ownMs, sharedMs: 0 });

const pipeline = fc.record({
  stages: fc.array(fc.integer({ min: 1, max: 20 }).map(stage), { minLength: 2, maxLength: 4 }),
  microbatches: fc.integer({ min: 1, max: 12 }),
  sumMs: fc.integer({ min: 0, max: 500 }),
});

test('steps without sums take as long as the passes', () => {
  fc.assert(
    fc.property(pipeline, ({ stages, microbatches }) => {
      const lists = listsOf(stages, microbatches);
      const stepMs = simulateSteps(lists, stages, stages.map(() => own(0)));
      expect(stepMs).toBeCloseTo(simulatePipeline(lists, stages).makespanMs, 6);
    }),
  );
});

test('what stages share is waited for in full, and what the first stage sums', () => {
  fc.assert(
    fc.property(pipeline, ({ stages, microbatches, sumMs }) => {
      const lists = listsOf(stages, microbatches);
      const { makespanMs } = simulatePipeline(lists, stages);
      const shared = stages.map((_, s) => ({ ownMs: 0, sharedMs: s === 0 || s === stages.length - 1 ? sumMs : 0 }));
      expect(simulateSteps(lists, stages, shared)).toBeCloseTo(makespanMs + sumMs, 6);
      expect(simulateSteps(lists, stages, stages.map((_, s) => own(s === 0 ? sumMs : 0)))).toBeCloseTo(makespanMs + sumMs, 6);
    }),
  );
});

test('the last stage sums while those before it are at their last passes and go ahead with their first, and no longer for nothing', () => {
  // Two stages, one microbatch: the first is at 2 · 5 ms when the second is done, and 5 ms into the next step when that has something to do.
  const stages = [stage(5), stage(3)];
  const lists = listsOf(stages, 1);
  for (const [sumMs, stepMs] of [[0, 24], [10, 24], [15, 24], [25, 34]] as const) expect(simulateSteps(lists, stages, [own(0), own(sumMs)])).toBeCloseTo(stepMs, 6);
});

test('a last stage that is faster catches up on what the first has gone ahead with: of a long sum, its forward passes are no wait', () => {
  const stages = [stage(8), stage(2)];
  const lists = listsOf(stages, 8);
  const aheadMs = 8 * lists[0]!.findIndex(({ op }) => op === 'B');
  const { makespanMs } = simulatePipeline(lists, stages);
  const stepMs = simulateSteps(lists, stages, [own(0), own(300)]);
  expect(stepMs).toBeLessThan(makespanMs + 300 - aheadMs);
  expect(stepMs).toBeGreaterThan(300 + 8 * 6);
});
