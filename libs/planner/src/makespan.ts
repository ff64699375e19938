import type { MakespanOf, StageSums, StageTiming } from '@longtail/core';
import { busiest } from './turns.js';

/**
 * Fill and bottleneck: the first microbatch goes through all stages and back, the others follow at the pace of the busiest
 * device; where devices hold several stages in turn, the fill is as much shorter. Exact for equal stages without delays under
 * 1F1B, (m + p − 1)(F + B), and interleaved, m(F + B) + (p − 1)(F + B) / v. Sums are waited for, but for what goes on while the stages
 * before are at their last passes of a step and at the first of the next.
 */
export const estimateMakespan: MakespanOf = (stages, microbatches, _maxStash, { chunks, sums }) => {
  const work = stages.map(({ forwardMs, backwardMs }) => forwardMs + backwardMs);
  const hops = stages.reduce((sum, { activationHopMs, gradientHopMs }) => sum + activationHopMs + gradientHopMs, 0);
  const workers = stages.length / chunks;
  const period = busiest(work, workers);
  const latencyMs = work.reduce((sum, ms) => sum + ms, 0) + hops;
  return {
    makespanMs: (latencyMs - period) / chunks + microbatches * period,
    sumsMs: sums === undefined ? 0 : waitMs(stages, sums),
    stash: Array.from({ length: workers }, (_, rank) => Math.min(microbatches * chunks, inFlight(stages, rank, period))),
  };
};

/** Capped 1F1B's cap: as many microbatches as keep the busiest stage at work while one goes from here to the end and back. */
function inFlight(stages: readonly StageTiming[], stage: number, periodMs: number): number {
  const roundTripMs = stages
    .slice(stage)
    .reduce((sum, timing) => sum + timing.forwardMs + timing.backwardMs + timing.activationHopMs + timing.gradientHopMs, 0);
  return Math.ceil(roundTripMs / periodMs) + 2;
}

function waitMs(stages: readonly StageTiming[], sums: readonly StageSums[]): number {
  let spareMs = 0;
  const waits = sums.map(({ ownMs, sharedMs }, s) => {
    if (s > 0) {
      const { forwardMs, backwardMs, activationHopMs, gradientHopMs } = stages[s - 1]!;
      spareMs += forwardMs + backwardMs + activationHopMs + gradientHopMs;
    }
    return Math.max(0, ownMs - spareMs) + sharedMs;
  });
  return Math.max(...waits);
}
