import { elementCount } from '@longtail/core';
import type { BlockProfile, ModelProfile } from '@longtail/core';
import type { Block, Model } from './block.js';
import { blockShapes } from './stage-model.js';

const FLOAT_BYTES = 4;

/** The gradients of inputs and of weights take one product each where the forward pass takes one. */
const BACKWARD_FACTOR = 2;

/**
 * What each block of a model costs one sample, from shapes alone: nothing is built or run. Products count 2 FLOPs a
 * multiply-add; what is no product is not counted. Blocks that know better say so (`Block.cost`).
 */
export function profileModel(name: string, model: Model): ModelProfile {
  const shapes = blockShapes(model);
  const shared = new Set(model.blocks.flatMap((block) => block.uses ?? []));
  const sizes = new Map<string, number>(model.blocks.flatMap((block) => block.parameters.map((spec) => [`${block.name}.${spec.name}`, elementCount(spec.shape)] as [string, number])));
  const blocks = model.blocks.map((block, i): BlockProfile => {
    const own = block.parameters.map((spec) => `${block.name}.${spec.name}`);
    const { forwardFlops, stashValues } = block.cost?.(shapes[i]) ?? costFromShapes(block, shapes[i], shapes[i + 1]);
    return {
      name: block.name,
      parameters: own.filter((full) => !shared.has(full)).reduce((sum, full) => sum + sizes.get(full)!, 0),
      tied: [...own.filter((full) => shared.has(full)), ...(block.uses ?? [])].map((full) => ({ name: full, parameters: sizes.get(full)! })),
      forwardFlops,
      backwardFlops: BACKWARD_FACTOR * forwardFlops,
      outputBytes: FLOAT_BYTES * elementCount(shapes[i + 1]),
      outputRow: shapes[i + 1].at(-1),
      stashBytes: FLOAT_BYTES * stashValues,
      cutAfter: i < model.blocks.length - 1,
    };
  });
  return { name, inputBytes: FLOAT_BYTES * elementCount(model.inputShape), blocks };
}

/**
 * Each matrix is multiplied once for each position of the output, each convolution kernel once for each pixel: right for
 * dense layers, convolutions and residual blocks, too little where a block pools before it ends. Kept are input and output,
 * and an output's worth for each further product inside.
 */
function costFromShapes(block: Block, input: readonly number[], output: readonly number[]): { forwardFlops: number; stashValues: number } {
  const products = block.parameters.filter(({ shape }) => shape.length > 1);
  const forwardFlops = products.reduce((sum, { shape }) => sum + 2 * elementCount(shape) * positions(shape, output), 0);
  return { forwardFlops, stashValues: elementCount(input) + elementCount(output) * Math.max(1, products.length) };
}

function positions(shape: readonly number[], output: readonly number[]): number {
  const channels = shape.length === 2 ? shape[1] : output[output.length - 1];
  return Math.max(1, elementCount(output) / channels);
}
