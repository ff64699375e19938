import { layOut, LongtailError } from '@longtail/core';
import type { BlockRange, ParameterLayout } from '@longtail/core';
import type * as tf from '@tensorflow/tfjs';
import type { Block, BlockContext, Initializer, Model, ParameterSpec } from './block.js';

/** Blocks [start, end) of a model with their parameters laid out: everything about a stage that no engine decides. */
export interface StageModel {
  readonly blocks: readonly Block[];
  readonly range: BlockRange;
  /**
   * The blocks' parameters in order. Tied parameters whose owner is in an earlier stage have a slot here as well, under
   * their owner's name, behind those of the block that reads them first: whoever adds up gradients adds by name.
   */
  readonly layout: ParameterLayout;
  /** One for each slot of the layout. */
  readonly initializers: readonly Initializer[];
  /** For each block the slots that its `apply` takes, its own before those it uses. */
  readonly blockSlots: readonly (readonly number[])[];
  /** One sample's input and output, without the batch dimension. */
  readonly inputShape: readonly number[];
  readonly outputShape: readonly number[];
  /** Activations between stages are always float32. */
  readonly inputType: 'float32' | 'int32';
  readonly isFirst: boolean;
  readonly isLast: boolean;
  /** Values that leave the blocks for one sample, summed over blocks: what a stash at least holds. */
  readonly activationsPerSample: number;
}

type Tensors = readonly (ParameterSpec & { readonly fullName: string })[];

export function stageModel(model: Model, range: BlockRange | 'all'): StageModel {
  const { start, end } = range === 'all' ? { start: 0, end: model.blocks.length } : range;
  if (!Number.isInteger(start) || !Number.isInteger(end) || start < 0 || end > model.blocks.length || start >= end) {
    throw new LongtailError(`blocks ${start} to ${end} do not exist: the model has ${model.blocks.length}`, { code: 'usage', hint: 'Choose 0 ≤ start < end ≤ the number of blocks.' });
  }
  const shapes = blockShapes(model);
  const blocks = model.blocks.slice(start, end);
  const { tensors, blockSlots } = collectTensors(model, start, end);
  return {
    blocks,
    range: { start, end },
    layout: layOut(tensors.map(({ fullName, shape, trainable }) => ({ name: fullName, shape, trainable }))),
    initializers: tensors.map((tensor) => tensor.init),
    blockSlots,
    inputShape: shapes[start],
    outputShape: shapes[end],
    inputType: start === 0 ? model.inputType : 'float32',
    isFirst: start === 0,
    isLast: end === model.blocks.length,
    activationsPerSample: shapes.slice(start + 1, end + 1).reduce((sum, shape) => sum + shape.reduce((a, b) => a * b, 1), 0),
  };
}

/** Shape before each block, and after the last. */
export function blockShapes(model: Model): readonly (readonly number[])[] {
  const shapes = [model.inputShape];
  for (const block of model.blocks) shapes.push(block.outputShape(shapes[shapes.length - 1]));
  return shapes;
}

/** Runs a stage's blocks on a batch. `parameters` are in the order of the layout. */
export function applyBlocks(context: BlockContext, stage: StageModel, input: tf.Tensor, parameters: readonly tf.Tensor[]): tf.Tensor {
  return stage.blocks.reduce((activation, block, i) => block.apply(context, activation, stage.blockSlots[i].map((slot) => parameters[slot])), input);
}

function collectTensors(model: Model, start: number, end: number): { tensors: Tensors; blockSlots: number[][] } {
  const owned = new Map<string, ParameterSpec>(model.blocks.flatMap((block) => block.parameters.map((spec) => [`${block.name}.${spec.name}`, spec] as const)));
  const tensors: (ParameterSpec & { fullName: string })[] = [];
  const slotOf = new Map<string, number>();
  const slot = (fullName: string, block: Block): number => {
    const known = slotOf.get(fullName);
    if (known !== undefined) return known;
    const spec = owned.get(fullName);
    if (spec === undefined) throw new LongtailError(`block ${block.name} uses ${fullName}, which no block has`, { code: 'invalid-file' });
    slotOf.set(fullName, tensors.length);
    return tensors.push({ ...spec, fullName }) - 1;
  };
  const blockSlots = model.blocks.slice(start, end).map((block) => [
    ...block.parameters.map((spec) => slot(`${block.name}.${spec.name}`, block)),
    ...(block.uses ?? []).map((name) => slot(name, block)),
  ]);
  return { tensors, blockSlots };
}
