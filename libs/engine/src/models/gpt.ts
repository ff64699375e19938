import type { ModelSpec } from '@longtail/core';
import type * as tf from '@tensorflow/tfjs';
import type { Block, BlockContext, Initializer, Model } from '../block.js';
import { modelError, ONES } from './layers.js';

type GptSpec = Extract<ModelSpec, { type: 'gpt' }>;

const EMBEDDING = 'embedding.table';

/** Radford et al. 2018. */
const NORMAL: Initializer = { kind: 'normal', std: 0.02 };

/**
 * Decoder-only transformer as in LLaMA (Touvron et al. 2023): RMS norm before each part, rotary positions, SwiGLU, no
 * biases; the head shares the embedding's table (Press & Wolf 2017). Weights are normal with deviation 0.02, those that
 * write to the residual stream scaled by 1/√(2 · layers) (Radford et al. 2019).
 * B = batch, L = context, D = width, H = heads, F = feedForward, V = vocabulary. Blocks: embedding, each layer, head.
 */
export function gpt(spec: GptSpec): Model {
  if (spec.width % (2 * spec.heads) !== 0) {
    throw modelError(`gpt: width ${spec.width} does not split into ${spec.heads} heads of even width`, 'Rotary positions turn pairs of values: make width a multiple of 2 · heads.');
  }
  const layers = Array.from({ length: spec.layers }, (_, i) => layerBlock(`layer${i}`, spec));
  return { inputShape: [spec.context], inputType: 'int32', blocks: [embeddingBlock(spec), ...layers, headBlock(spec)] };
}

function embeddingBlock({ vocabulary, width }: GptSpec): Block {
  return {
    name: 'embedding',
    parameters: [{ name: 'table', shape: [vocabulary, width], init: NORMAL }],
    outputShape: ([length]) => [length, width],
    // A look-up.
    cost: ([length]) => ({ forwardFlops: 0, stashValues: length }),
    apply({ tf, ops }, ids_BL, [table]) {
      const [batch, length] = ids_BL.shape as [number, number];
      return tf.reshape(ops.embedding(table as tf.Tensor2D, tf.reshape(ids_BL, [batch * length])), [batch, length, width]);
    },
  };
}

function layerBlock(name: string, spec: GptSpec): Block {
  const { width: D, feedForward: F } = spec;
  const intoResidual: Initializer = { kind: 'normal', std: 0.02 / Math.sqrt(2 * spec.layers) };
  return {
    name,
    parameters: [
      { name: 'attention.norm', shape: [D], init: ONES },
      { name: 'attention.query', shape: [D, D], init: NORMAL },
      { name: 'attention.key', shape: [D, D], init: NORMAL },
      { name: 'attention.value', shape: [D, D], init: NORMAL },
      { name: 'attention.output', shape: [D, D], init: intoResidual },
      { name: 'feed-forward.norm', shape: [D], init: ONES },
      { name: 'feed-forward.gate', shape: [D, F], init: NORMAL },
      { name: 'feed-forward.up', shape: [D, F], init: NORMAL },
      { name: 'feed-forward.down', shape: [F, D], init: intoResidual },
    ],
    outputShape: (inputShape) => inputShape,
    // Kept: two normed inputs, q, k, v, what attention and the first half put out; gate, up and their product; scores and weights.
    cost: ([L]) => ({
      forwardFlops: 2 * L * (4 * D * D + 3 * D * F) + 4 * L * L * D,
      stashValues: L * (8 * D + 3 * F) + 2 * spec.heads * L * L,
    }),
    apply(context, x_BLD, parameters) {
      const { tf } = context;
      const [batch, length] = x_BLD.shape as [number, number, number];
      const x_ND = tf.reshape(x_BLD, [batch * length, D]) as tf.Tensor2D;
      const attended = tf.add(x_ND, attention(context, x_ND, parameters.slice(0, 5), batch, spec.heads)) as tf.Tensor2D;
      return tf.reshape(tf.add(attended, feedForward(context, attended, parameters.slice(5))), x_BLD.shape);
    },
  };
}

function attention({ tf, ops }: BlockContext, x_ND: tf.Tensor2D, parameters: readonly tf.Tensor[], batch: number, heads: number): tf.Tensor2D {
  const [norm, query, key, value, output] = parameters as [tf.Tensor1D, ...tf.Tensor2D[]];
  const [rows, width] = x_ND.shape;
  const normal = ops.rmsNorm(x_ND, norm);
  const split_BHLd = (w: tf.Tensor2D): tf.Tensor4D =>
    tf.transpose(tf.reshape(ops.linear(normal, w), [batch, rows / batch, heads, width / heads]), [0, 2, 1, 3]);
  const attended_BHLd = ops.causalAttention(ops.rotary(split_BHLd(query)), ops.rotary(split_BHLd(key)), split_BHLd(value));
  return ops.linear(tf.reshape(tf.transpose(attended_BHLd, [0, 2, 1, 3]), [rows, width]), output);
}

function feedForward({ ops }: BlockContext, x_ND: tf.Tensor2D, parameters: readonly tf.Tensor[]): tf.Tensor2D {
  const [norm, gate, up, down] = parameters as [tf.Tensor1D, ...tf.Tensor2D[]];
  const normal = ops.rmsNorm(x_ND, norm);
  return ops.linear(ops.swiglu(ops.linear(normal, gate), ops.linear(normal, up)) as tf.Tensor2D, down);
}

function headBlock({ vocabulary, width }: GptSpec): Block {
  return {
    name: 'head',
    parameters: [{ name: 'norm', shape: [width], init: ONES }],
    uses: [EMBEDDING],
    outputShape: ([length]) => [length, vocabulary],
    cost: ([length]) => ({ forwardFlops: 2 * length * width * vocabulary, stashValues: length * (2 * width + 2 * vocabulary) }),
    apply({ tf, ops }, x_BLD, [norm, table]) {
      const [batch, length] = x_BLD.shape as [number, number, number];
      const normal = ops.rmsNorm(tf.reshape(x_BLD, [batch * length, width]), norm as tf.Tensor1D);
      return tf.reshape(ops.linear(normal, table as tf.Tensor2D, undefined, true), [batch, length, vocabulary]);
    },
  };
}
