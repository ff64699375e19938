import type { Job, PlanRequest } from '@longtail/core';
import { codecBits, downCodecOf, fragmentsOf, localStateCount, localStepRuleOf, localStepsOf, ownStateBytes, stepBatchOf } from '@longtail/core';

/** Sizes of microbatches to choose from. */
const MICROBATCHES = [1, 2, 4, 8, 16, 64];
const VALUE_BYTES = 4;

/** What a worker holds: its engine and its event loop have a vector each; and the engine the gradient of the pass under way. */
const PARAMETER_VECTORS = 2;
const GRADIENT_VECTORS = 3;
const STATE_VECTORS = 2;
/** Where local steps follow from what is planned, what a search for them begins with: as many as `diloco` takes by default. */
const FIRST_STEPS = 50;

/**
 * What a job asks of a plan, as this runtime does it. The server steps, and gradients go up when all microbatches are done;
 * or groups take local steps, each worker with an optimizer of its own; of several steps, what the event loop has is counted as the round's base.
 * Where parameters are exchanged in fragments, a round exchanges one of them.
 */
export function planRequestFor({ train, sync, cluster }: Job): PlanRequest {
  const batch = stepBatchOf({ train, sync });
  const localSteps = localStepsOf(sync);
  const fragments = fragmentsOf(sync) ?? 1;
  const server = {
    stepsPerRound: 1,
    stateBytesPerParameter: VALUE_BYTES * STATE_VECTORS * localStateCount(train.optimizer),
    parameterVectors: PARAMETER_VECTORS,
    optimizer: 'server',
  } as const;
  const stepsPerRound = (localSteps === 'auto' ? FIRST_STEPS : (localSteps ?? 1)) / fragments;
  const devices = {
    stepsPerRound,
    stateBytesPerParameter: ownStateBytes(train.optimizer),
    parameterVectors: stepsPerRound > 1 ? PARAMETER_VECTORS - 1 : PARAMETER_VECTORS,
    optimizer: 'devices',
    alwaysExchanges: true,
    local: { batch, rule: localStepRuleOf(sync)!, inAll: train.maxSamples && train.maxSamples / batch, overlaps: fragmentsOf(sync) !== undefined },
  } as const;
  return {
    ...(localSteps === undefined ? server : devices),
    batch,
    microbatches: cluster.microbatch === undefined ? MICROBATCHES.filter((size) => size <= batch) : [cluster.microbatch],
    gradientVectors: GRADIENT_VECTORS,
    upBitsPerValue: codecBits(sync.codec, sync.topK) / fragments,
    downBitsPerValue: codecBits(downCodecOf(sync), sync.topK) / fragments,
    activationBits: codecBits(sync.activationCodec ?? 'fp32'),
    recompute: cluster.recompute ?? 'allowed',
    schedule: cluster.schedule ?? 'capped-1f1b',
    wholeModels: fragmentsOf(sync) !== undefined,
    workspaceBytes: 0,
  };
}
