import type * as tf from '@tensorflow/tfjs';
import type { DataSignature, LossName } from '@longtail/core';
import type { Ops } from './ops.js';

export type Initializer =
  | { readonly kind: 'zeros' }
  | { readonly kind: 'ones' }
  | { readonly kind: 'normal'; readonly std: number }
  /** Uniform in [-limit, limit). */
  | { readonly kind: 'uniform'; readonly limit: number }
  | { readonly kind: 'values'; readonly values: Float32Array };

export interface ParameterSpec {
  /** Unique in its block; `<block>.<name>` in the layout. */
  readonly name: string;
  readonly shape: readonly number[];
  readonly init: Initializer;
  /** Default true. Frozen parameters travel and are saved, but no optimizer moves them. */
  readonly trainable?: boolean;
}

export interface BlockContext {
  readonly tf: typeof tf;
  /** Composite operations with gradients of their own, as fast as the engine has them. */
  readonly ops: Ops;
}

/** What a block costs one sample. */
export interface BlockCost {
  /** Of its products: 2 a multiply-add. */
  readonly forwardFlops: number;
  /** Values that its forward pass keeps for its backward pass. */
  readonly stashValues: number;
}

/**
 * The unit a model is cut by: a pipeline may cut before or after a block, never inside.
 * `apply` is pure in its tensors, differentiable, and its shapes depend on shapes only, so that it can be traced once.
 */
export interface Block {
  /** Unique in the model; prefixes the names of its parameters. */
  readonly name: string;
  readonly parameters: readonly ParameterSpec[];
  /** Full names of parameters of earlier blocks that it reads too (tied embeddings); they come after its own. */
  readonly uses?: readonly string[];
  /** One sample's output shape, without the batch dimension. Throws LongtailError for an input it cannot take. */
  outputShape(inputShape: readonly number[]): readonly number[];
  /** Default: derived from the shapes of parameters and output. */
  cost?(inputShape: readonly number[]): BlockCost;
  /** [batch, …inputShape] → [batch, …outputShape]. */
  apply(context: BlockContext, input: tf.Tensor, parameters: readonly tf.Tensor[]): tf.Tensor;
}

/** A model: blocks in order. The last block's output goes to the loss: logits for cross-entropy, values for squared error. */
export interface Model {
  readonly blocks: readonly Block[];
  /** One sample's input. */
  readonly inputShape: readonly number[];
  readonly inputType: 'float32' | 'int32';
}

/** What a model is made for. */
export type ModelPurpose = DataSignature & { readonly loss: LossName };

/** What a job's module exports by default: blocks from the job's options and the data's signature. */
export type ModelFactory = (options: Readonly<Record<string, unknown>>, data: ModelPurpose) => Model | Promise<Model>;
