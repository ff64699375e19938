import type { Rng, StageTiming } from '@longtail/core';

export interface RandomPipeline {
  readonly stages: readonly StageTiming[];
  readonly microbatches: number;
}

/**
 * An unequal pipeline as a fleet of consumer devices gives it: 2 to 8 stages, p to 64 microbatches, forward times
 * log-uniform over a factor of 4, backward 1 to 3 times as long, and each hop in each direction anything up to two mean
 * stage times.
 */
export function randomPipeline(rng: Rng): RandomPipeline {
  const p = 2 + rng.below(7);
  const microbatches = p + rng.below(65 - p);
  const compute = Array.from({ length: p }, () => {
    const forwardMs = 10 * 4 ** rng.uniform();
    const backwardMs = forwardMs * (1 + 2 * rng.uniform());
    return { forwardMs, backwardMs, inputGradientMs: backwardMs * (0.4 + 0.2 * rng.uniform()) };
  });
  const meanMs = compute.reduce((sum, { forwardMs, backwardMs }) => sum + forwardMs + backwardMs, 0) / p;
  const stages = compute.map((timing, stage) => {
    const hop = () => (stage < p - 1 ? 2 * meanMs * rng.uniform() : 0);
    return { ...timing, activationHopMs: hop(), gradientHopMs: hop() };
  });
  return { stages, microbatches };
}
