import type { LossName } from '@longtail/core';
import type * as tfjs from '@tensorflow/tfjs';
import type { StageModel } from '../stage-model.js';
import type { TensorFlowContext } from './context.js';
import { DataType } from './graph-def.js';
import type { Output, OutputType } from './graph-def.js';
import type { Graph } from './graph.js';
import type { Recording, TracedTensor } from './recorder.js';
import { floats, readVariable, unpackVariables } from './variables.js';

export type TensorType = 'float32' | 'int32';

export function targetType(loss: LossName): TensorType {
  return loss === 'cross-entropy' ? 'int32' : 'float32';
}

/** `tf.tidy` for work that returns no tensors. */
export function tidy<Result>({ tf }: TensorFlowContext, work: () => Result): Result {
  let result: Result;
  tf.tidy(() => {
    result = work();
  });
  return result!;
}

/** The parameters of a stage in a graph that is fed their variable set as `parameters`. */
export interface GraphParameters {
  /** One a slot of the layout. */
  readonly handles: readonly Output[];
  readonly values: readonly Output[];
}

export function addParameters(graph: Graph, model: StageModel): GraphParameters {
  const types = floats(model.layout.slots.map((slot) => slot.shape));
  const handles = unpackVariables(graph, 'parameters', types.length);
  return { handles, values: handles.map((handle, i) => readVariable(graph, handle, types[i])) };
}

/** Stand-ins of the right shapes for the parameters: a trace depends on shapes only. */
export function standInParameters({ tf }: TensorFlowContext, model: StageModel, { values }: GraphParameters): TracedTensor[] {
  return model.layout.slots.map((slot, i) => [tf.fill([...slot.shape], 0), values[i]] as const);
}

/** A stand-in for what a graph is fed. */
export function standIn({ tf }: TensorFlowContext, shape: readonly number[], type: TensorType, output: Output): TracedTensor {
  return [tf.fill([...shape], 0, type), output];
}

/** A value that each run feeds, with its stand-in. */
export function fedTensor(
  context: TensorFlowContext,
  graph: Graph,
  name: string,
  shape: readonly number[],
  type: TensorType,
): TracedTensor {
  return standIn(context, shape, type, graph.placeholder(name, type === 'float32' ? DataType.float : DataType.int32, shape));
}

export function tensorsOf(traced: readonly TracedTensor[]): tfjs.Tensor[] {
  return traced.map(([tensor]) => tensor);
}

/** What a tape's gradients stand for; the tensors themselves, which outlive a tidy, are freed. */
export function outputsOf(recording: Recording, gradients: readonly (tfjs.Tensor | undefined)[]): (Output | undefined)[] {
  return gradients.map((gradient) => {
    const output = gradient && recording.outputOf(gradient);
    gradient?.dispose();
    return output;
  });
}

/** The entries of a list with one entry a slot that belong to trainable slots. */
export function trainable<T>(model: StageModel, bySlot: readonly T[]): T[] {
  return bySlot.filter((_, i) => model.layout.slots[i].trainable);
}

/** Of the gradient of a stage: its trainable tensors'. */
export function gradientTypes(model: StageModel): OutputType[] {
  return floats(trainable(model, model.layout.slots).map((slot) => slot.shape));
}

/** A gradient for each trainable tensor: zeros where the output does not depend on it. */
export function gradientOutputs(graph: Graph, types: readonly OutputType[], gradients: readonly (Output | undefined)[]): Output[] {
  return types.map(({ shape }, i) => gradients[i] ?? graph.zeros(shape));
}
