import type { Job, PlanRequest } from '@longtail/core';
import { codecBits, downCodecOf, localStateCount, localStepsOf, ownStateBytes } from '@longtail/core';

/** Sizes of microbatches to choose from. */
const MICROBATCHES = [1, 2, 4, 8, 16, 64];
const VALUE_BYTES = 4;

/** What a worker holds: its engine and its event loop have a vector each; and the engine the gradient of the pass under way. */
const PARAMETER_VECTORS = 2;
const GRADIENT_VECTORS = 3;
const STATE_VECTORS = 2;
/** Of a round whose local steps follow from its exchange, which nobody has measured yet: as many as `diloco` takes by default. */
const UNKNOWN_STEPS = 50;

/**
 * What a job asks of a plan, as this runtime does it. The server steps, and gradients go up when all microbatches are done;
 * or groups take local steps, each worker with an optimizer of its own; of several steps, what the event loop has is counted as the round's base.
 */
export function planRequestFor({ train, sync, cluster }: Job): PlanRequest {
  const localSteps = localStepsOf(sync);
  const server = {
    stepsPerRound: 1,
    stateBytesPerParameter: VALUE_BYTES * STATE_VECTORS * localStateCount(train.optimizer),
    parameterVectors: PARAMETER_VECTORS,
    optimizer: 'server',
  } as const;
  const stepsPerRound = localSteps === 'auto' ? UNKNOWN_STEPS : (localSteps ?? 1);
  const devices = {
    stepsPerRound,
    stateBytesPerParameter: ownStateBytes(train.optimizer),
    parameterVectors: stepsPerRound > 1 ? PARAMETER_VECTORS - 1 : PARAMETER_VECTORS,
    optimizer: 'devices',
    alwaysExchanges: true,
  } as const;
  return {
    ...(localSteps === undefined ? server : devices),
    batch: train.batch,
    microbatches: cluster.microbatch === undefined ? MICROBATCHES.filter((size) => size <= train.batch) : [cluster.microbatch],
    gradientVectors: GRADIENT_VECTORS,
    upBitsPerValue: codecBits(sync.codec, sync.topK),
    downBitsPerValue: codecBits(downCodecOf(sync), sync.topK),
    activationBits: codecBits(sync.activationCodec ?? 'fp32'),
    recompute: cluster.recompute ?? 'allowed',
    schedule: cluster.schedule ?? 'capped-1f1b',
    workspaceBytes: 0,
  };
}
