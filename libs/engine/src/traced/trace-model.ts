import type { Block, Initializer, Model } from '../block.js';
import { checkOutput, inBlock, lineIn } from '../models/module-error.js';
import { blockShapes } from '../stage-model.js';
import { merge } from './batch-dependent.js';
import { TRACED_BATCHES, type Step, type TracedBlock, type TracedModel, type TracedParameter } from './program.js';
import { record } from './recorder.js';
import type { TensorSpec } from './shape-rules.js';

/** Told before each part, so that whoever waits in vain knows for what. */
export type OnPart = (part: string) => void;

/**
 * Writes a model down as data: runs the `apply` of each block with tensors that have no values, for three sizes of batch.
 * Throws LongtailError `invalid-file`, naming the block and `path` with the line, for a block that data cannot stand for.
 */
export function traceModel(model: Model, path: string, onPart: OnPart): TracedModel {
  const shapes = blockShapes(model);
  const owned = new Map(model.blocks.flatMap((block) => block.parameters.map(({ name, shape }) => [`${block.name}.${name}`, shape] as const)));
  const blocks = model.blocks.map((block, i): TracedBlock => {
    onPart(`block ${block.name}`);
    try {
      return traceBlock(block, i === 0 ? model.inputType : 'float32', shapes[i], shapes[i + 1], owned, path);
    } catch (error) {
      throw inBlock(block.name, error, path);
    }
  });
  return { format: 1, inputShape: model.inputShape, inputType: model.inputType, blocks };
}

function traceBlock(block: Block, inputType: TensorSpec['dtype'], inputShape: readonly number[], outputShape: readonly number[], owned: ReadonlyMap<string, readonly number[]>, path: string): TracedBlock {
  const { name, parameters, uses = [] } = block;
  const used = uses.map((other) => owned.get(other) ?? []);
  const tensors = [...parameters.map(({ shape }) => shape), ...used].map((shape): TensorSpec => ({ shape, dtype: 'float32' }));
  const traced = TRACED_BATCHES.map((samples) => {
    const input: TensorSpec = { shape: [samples, ...inputShape], dtype: inputType };
    const recording = record([input, ...tensors], (stack) => lineIn(path, stack), (context, [x, ...weights]) => block.apply(context, x, weights));
    checkOutput(recording, [samples, ...outputShape]);
    return recording;
  });
  const { steps, output } = merge(TRACED_BATCHES, traced.map(({ steps, output }) => ({ steps, output })) as [unknown, unknown, unknown]) as unknown as { steps: Step[]; output: number };
  const cost = block.cost?.(inputShape);
  return { name, parameters: parameters.map((parameter) => ({ name: parameter.name, shape: parameter.shape, trainable: parameter.trainable ?? true, init: initOf(parameter.init) })), uses, inputShape, outputShape, ...(cost && { cost }), steps, output };
}

function initOf(init: Initializer): TracedParameter['init'] {
  if (init.kind !== 'values') return init;
  const values = Float32Array.from(init.values);
  return { kind: 'values', values: Buffer.from(values.buffer).toString('base64') };
}
