import type { Job, PlanRequest } from '@longtail/core';
import { codecBits, downCodecOf, localStateCount } from '@longtail/core';

/** Sizes of microbatches to choose from. */
const MICROBATCHES = [1, 2, 4, 8, 16, 64];
const VALUE_BYTES = 4;

/** What a worker holds: its engine and its event loop have a vector each; and the engine the gradient of the pass under way. */
const PARAMETER_VECTORS = 2;
const GRADIENT_VECTORS = 3;
const STATE_VECTORS = 2;

/** What a job asks of a plan, as this runtime does it: the server steps, gradients go up when all microbatches are done. */
export function planRequestFor({ train, sync, cluster }: Job): PlanRequest {
  return {
    batch: train.batch,
    stepsPerRound: 1,
    microbatches: cluster.microbatch === undefined ? MICROBATCHES.filter((size) => size <= train.batch) : [cluster.microbatch],
    stateBytesPerParameter: VALUE_BYTES * STATE_VECTORS * localStateCount(train.optimizer),
    parameterVectors: PARAMETER_VECTORS,
    gradientVectors: GRADIENT_VECTORS,
    optimizer: 'server',
    upBitsPerValue: codecBits(sync.codec, sync.topK),
    downBitsPerValue: codecBits(downCodecOf(sync), sync.topK),
    activationBits: codecBits(sync.activationCodec ?? 'fp32'),
    recompute: cluster.recompute ?? 'allowed',
    schedule: cluster.schedule ?? 'capped-1f1b',
    workspaceBytes: 0,
  };
}
