import type { Makespan, StageTiming } from '@longtail/core';

/**
 * Fill and bottleneck: the first microbatch goes through all stages and back, the others follow at the pace of the busiest
 * stage. Exact for equal stages under 1F1B, (m + p − 1)(F + B), without delays.
 */
export function estimateMakespan(stages: readonly StageTiming[], microbatches: number): Makespan {
  const work = stages.map(({ forwardMs, backwardMs }) => forwardMs + backwardMs);
  const hops = stages.reduce((sum, { activationHopMs, gradientHopMs }) => sum + activationHopMs + gradientHopMs, 0);
  const period = Math.max(...work);
  const makespanMs = work.reduce((sum, ms) => sum + ms, 0) + hops + (microbatches - 1) * period;
  return {
    makespanMs,
    busyMs: work.map((ms) => ms * microbatches),
    stash: work.map((_, stage) => Math.min(microbatches, inFlight(stages, stage, period))),
  };
}

/** Capped 1F1B's cap: as many microbatches as keep the busiest stage at work while one goes from here to the end and back. */
function inFlight(stages: readonly StageTiming[], stage: number, periodMs: number): number {
  const roundTripMs = stages
    .slice(stage)
    .reduce((sum, timing) => sum + timing.forwardMs + timing.backwardMs + timing.activationHopMs + timing.gradientHopMs, 0);
  return Math.ceil(roundTripMs / periodMs) + 2;
}
