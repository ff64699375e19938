import type { Batch, Dataset, Split, Stage } from '@longtail/core';
import type { VirtualBlocks } from './blocks.js';
import type { VirtualModel } from './model.js';
import { SharedStage } from './shared-stage.js';

/**
 * A whole model on a real engine, as all virtual devices compute with it. A run starts from the parameters that the stage has now, whatever its seed.
 * `blocks`: the same model, for devices that hold a part of it.
 */
export async function modelOfStage(stage: Stage, data: Dataset, blocks?: VirtualBlocks): Promise<VirtualModel> {
  const { layout } = stage;
  const fresh = new Float32Array(layout.length);
  await stage.readParameters(fresh);
  const shared = new SharedStage(stage);
  return {
    layout,
    trainSamples: data.length('train'),
    validationSamples: data.length('validation'),
    blocks,
    initial: () => fresh.slice(),
    gradient(parameters, samples, out, of) {
      const compute = async () => {
        const stats = await stage.gradient(data.batch('train', samples));
        await stage.takeGradient(out);
        return stats;
      };
      return shared.inTurn(parameters, compute, of);
    },
    evaluate: (parameters, split, start, end, of) => shared.inTurn(parameters, () => stage.evaluate(batchOf(data, split, start, end)), of),
  };
}

/** Samples [start, end). */
export function batchOf(data: Dataset, split: Split, start: number, end: number): Batch {
  return data.batch(split, Int32Array.from({ length: end - start }, (_, i) => start + i));
}
