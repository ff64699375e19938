import { createRng, type StageTiming } from '@longtail/core';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { candidateRules, cappedOneForwardOneBackward } from './capped.js';
import { dispatch } from './dispatch.js';
import { listActions } from './lists.js';
import { lowerBound } from './lower-bound.js';
import { oneForwardOneBackward } from './one-forward-one-backward.js';
import { simulatePipeline } from './simulate.js';
import { equalStages, stagesOf } from './testing/arbitraries.js';
import { randomPipeline } from './testing/random-pipeline.js';

const capped = cappedOneForwardOneBackward();

function ratio(schedule: typeof capped, stages: readonly StageTiming[], microbatches: number, maxStash?: readonly number[]): number {
  const { makespanMs } = simulatePipeline(listActions(schedule, stages, microbatches), stages);
  return makespanMs / lowerBound(stages, microbatches, { ...schedule, maxStash });
}

/** For five stages. */
const rules = fc.record({
  caps: fc.array(fc.integer({ min: 1, max: 9 }), { minLength: 5, maxLength: 5 }),
  prefer: fc.constantFrom('forward', 'backward'),
  splitBackward: fc.boolean(),
});

const meanOf = (ratios: readonly number[]) => ratios.reduce((sum, one) => sum + one, 0) / ratios.length;

test('100 random unequal pipelines with hop delays: 1.08 × the lower bound on average, 1.25 × at the 95th percentile', () => {
  const rng = createRng('capped');
  const ratios = Array.from({ length: 100 }, () => randomPipeline(rng))
    .map(({ stages, microbatches }) => ratio(capped, stages, microbatches))
    .sort((a, b) => a - b);
  expect(meanOf(ratios)).toBeLessThanOrEqual(1.08);
  expect(ratios[94]!).toBeLessThanOrEqual(1.25);
});

test('a hop delay of two stage times does not cost 2 % where plain 1F1B takes three times as long', () => {
  const hops = { activationHopMs: 6, gradientHopMs: 6 };
  const stages = equalStages(4, 1, 1, 1).map((timing, stage) => (stage < 3 ? { ...timing, ...hops } : timing));
  expect(ratio(capped, stages, 32)).toBeLessThanOrEqual(1.02);
  expect(ratio(oneForwardOneBackward(), stages, 32)).toBeCloseTo(417 / 141, 10);
});

test('with little memory it is close to what that memory allows', () => {
  const rng = createRng('memory');
  const ratios = Array.from({ length: 60 }, () => {
    const { stages, microbatches } = randomPipeline(rng);
    const maxStash = stages.map(() => 1 + rng.below(10));
    return ratio(cappedOneForwardOneBackward({ maxStash }), stages, microbatches, maxStash);
  });
  expect(meanOf(ratios)).toBeLessThanOrEqual(1.05);
});

test('an uplink that is the bottleneck is kept busy', () => {
  const hop = { activationHopMs: 9, activationSendMs: 5, gradientHopMs: 9, gradientSendMs: 5 };
  const stages = equalStages(3, 1, 1, 1).map((timing, stage) => (stage < 2 ? { ...timing, ...hop } : timing));
  // The worker between two others sends an activation and a gradient a microbatch, for 5 ms each.
  expect(lowerBound(stages, 40)).toBeGreaterThan(40 * 10);
  expect(ratio(capped, stages, 40)).toBeLessThanOrEqual(1.02);
});

test('every worker derives the same lists, from its own copy of the timings', () => {
  fc.assert(
    fc.property(stagesOf(4), fc.integer({ min: 1, max: 16 }), (stages, microbatches) => {
      const copy = structuredClone(stages);
      expect(listActions(cappedOneForwardOneBackward(), copy, microbatches)).toEqual(listActions(capped, stages, microbatches));
    }),
    { numRuns: 10 },
  );
});

test('what was simulated to find the lists is what the lists take', () => {
  fc.assert(
    fc.property(stagesOf(5), fc.integer({ min: 1, max: 16 }), rules, (stages, microbatches, rule) => {
      const { lists, makespanMs, stashes } = dispatch(stages, microbatches, rule)!;
      const trace = simulatePipeline(lists(), stages);
      expect(trace.makespanMs).toBe(makespanMs);
      expect(trace.ranks.map(({ peakStash }) => peakStash)).toEqual(stashes);
      stashes.forEach((stash, stage) => expect(stash).toBeLessThanOrEqual(rule.caps[stage]!));
    }),
  );
});

test('of what is given up, or not tried at all, nothing would have been chosen', () => {
  const rng = createRng('given up');
  const sum = (stashes: readonly number[]) => stashes.reduce((all, stash) => all + stash, 0);
  for (let count = 0; count < 40; count++) {
    const { stages, microbatches } = randomPipeline(rng);
    const maxStash = stages.map(() => 1 + rng.below(20));
    const splitBackward = count % 2 === 1;
    const limits = maxStash.map((most) => Math.min(most, microbatches));
    const all = candidateRules(stages, limits, splitBackward).map((rule) => dispatch(stages, microbatches, rule)!);
    const shortestMs = Math.min(...all.map(({ makespanMs }) => makespanMs));
    const [best] = all
      .filter(({ makespanMs }) => makespanMs <= 1.005 * shortestMs)
      .sort((a, b) => sum(a.stashes) - sum(b.stashes) || a.makespanMs - b.makespanMs);
    expect(listActions(cappedOneForwardOneBackward({ maxStash, splitBackward }), stages, microbatches)).toEqual(best!.lists());
  }
});

test('a simulation is given up only where it would have taken longer', () => {
  fc.assert(
    fc.property(stagesOf(5), fc.integer({ min: 1, max: 16 }), rules, (stages, microbatches, rule) => {
      const { makespanMs } = dispatch(stages, microbatches, rule)!;
      expect(dispatch(stages, microbatches, rule, makespanMs)?.makespanMs).toBe(makespanMs);
      expect(dispatch(stages, microbatches, rule, makespanMs * (1 - 1e-6) - 1e-6)).toBeUndefined();
    }),
  );
});

test('weight gradients fill gaps: with the backward split a step is no longer', () => {
  const rng = createRng('split');
  const split = cappedOneForwardOneBackward({ splitBackward: true });
  for (let count = 0; count < 30; count++) {
    const { stages, microbatches } = randomPipeline(rng);
    const took = (schedule: typeof capped) => simulatePipeline(listActions(schedule, stages, microbatches), stages).makespanMs;
    // Each may be half a per cent longer than its shortest for the sake of memory.
    expect(took(split)).toBeLessThanOrEqual(1.01 * took(capped));
  }
});

test('timings that are off by a fifth cost a few per cent', () => {
  const rng = createRng('noise');
  const ratios = Array.from({ length: 60 }, () => {
    const { stages, microbatches } = randomPipeline(rng);
    const off = () => 0.8 + 0.4 * rng.uniform();
    const real = stages.map((timing) => {
      const slower = off();
      return {
        ...timing,
        forwardMs: slower * timing.forwardMs,
        backwardMs: slower * timing.backwardMs,
        activationHopMs: off() * timing.activationHopMs,
        gradientHopMs: off() * timing.gradientHopMs,
      };
    });
    return simulatePipeline(listActions(capped, stages, microbatches), real).makespanMs / lowerBound(real, microbatches);
  });
  expect(meanOf(ratios)).toBeLessThanOrEqual(1.05);
});
