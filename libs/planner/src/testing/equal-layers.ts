import type { BlockProfile, ModelProfile, PlanRequest } from '@longtail/core';

/** A model of equal layers, 1 GFLOP a sample forward and 2 backward, that may be cut anywhere. */
export function equalLayers(count: number, change: Partial<BlockProfile> = {}): ModelProfile {
  return {
    name: `model-of-${count}`,
    inputBytes: 1000,
    blocks: Array.from({ length: count }, (_, i) => ({
      name: `layer${i}`,
      parameters: 10_000_000,
      tied: [],
      forwardFlops: 1e9,
      backwardFlops: 2e9,
      outputBytes: 10_000,
      stashBytes: 100_000,
      cutAfter: true,
      ...change,
    })),
  };
}

/** All in float32, an exchange each step, Adam's moments at the worker. */
export const REQUEST: PlanRequest = {
  batch: 64,
  stepsPerRound: 1,
  microbatches: [4],
  stateBytesPerParameter: 8,
  upBitsPerValue: 32,
  downBitsPerValue: 32,
  activationBits: 32,
  recompute: 'never',
  schedule: 'capped-1f1b',
  workspaceBytes: 0,
};
