import type { OptimizerSpec, ParameterShard, Stage, StepHyper } from '@longtail/core';
import { isStateQuantized } from '@longtail/core';
import { CODEC_IDS, createShard } from '@longtail/kernels';

/** The optimizer of a stage that steps for itself. */
export interface LocalOptimizer {
  /** One step on `gradientSum` / `samples`. */
  apply(gradientSum: Float32Array, samples: number, hyper: StepHyper): Promise<void>;
}

/** Fresh, on the stage's engine; moments in 8 bits are the kernels'. */
export async function createLocalOptimizer(stage: Stage, optimizer: OptimizerSpec): Promise<LocalOptimizer> {
  if (isStateQuantized(optimizer)) return new KernelOptimizer(stage, optimizer);
  await stage.useOptimizer(optimizer);
  return { apply: (gradientSum, samples, hyper) => stage.applyGradient(gradientSum, samples, hyper) };
}

/** Parameters go to the kernels and back for each step. */
class KernelOptimizer implements LocalOptimizer {
  private readonly shard: ParameterShard;
  private readonly parameters: Float32Array;

  constructor(
    private readonly stage: Stage,
    optimizer: OptimizerSpec,
  ) {
    const { length, slots } = stage.layout;
    this.shard = createShard({ length, optimizer, frozen: slots.filter(({ trainable }) => !trainable) });
    this.parameters = new Float32Array(length);
  }

  async apply(gradientSum: Float32Array, samples: number, hyper: StepHyper): Promise<void> {
    const { stage, shard, parameters } = this;
    await stage.readParameters(parameters);
    shard.writeParameters(parameters);
    shard.beginStep(hyper);
    const bytes = new Uint8Array(gradientSum.buffer, gradientSum.byteOffset, gradientSum.byteLength);
    shard.stepChunk(0, shard.length, [{ bytes, codecId: CODEC_IDS.fp32, weight: 1 }], 1 / samples);
    shard.readParameters(parameters);
    await stage.writeParameters(parameters);
  }
}
