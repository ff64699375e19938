import type * as tf from '@tensorflow/tfjs';

/**
 * Composite operations that blocks are written in. Each has one naive definition in tf-core (the oracle), a portable one
 * with a gradient of its own, and on `tensorflow` one that reaches TensorFlow's kernels directly.
 * B = batch, L = length, D = width, H = heads, N = rows.
 */
export interface Ops {
  relu(x: tf.Tensor): tf.Tensor;
  /** GELU, tanh form (Hendrycks & Gimpel 2016). */
  gelu(x: tf.Tensor): tf.Tensor;
  /** silu(gate) · up (Shazeer 2020, SwiGLU). */
  swiglu(gate: tf.Tensor, up: tf.Tensor): tf.Tensor;
  /** x [N, in] · w [in, out] + b [out]; with `transposeWeights` w is [out, in] (tied heads). */
  linear(x: tf.Tensor2D, w: tf.Tensor2D, b?: tf.Tensor1D, transposeWeights?: boolean): tf.Tensor2D;
  /** NHWC convolution, w [kh, kw, in, out]. */
  conv2d(x: tf.Tensor4D, w: tf.Tensor4D, b: tf.Tensor1D | undefined, stride: number, padding: 'same' | 'valid'): tf.Tensor4D;
  maxPool2d(x: tf.Tensor4D, size: number, stride: number, padding: 'same' | 'valid'): tf.Tensor4D;
  /** Over the last axis of x [N, D] (Ba et al. 2016). */
  layerNorm(x: tf.Tensor2D, gain: tf.Tensor1D, bias: tf.Tensor1D): tf.Tensor2D;
  /** Over the last axis of x [N, D] (Zhang & Sennrich 2019). */
  rmsNorm(x: tf.Tensor2D, gain: tf.Tensor1D): tf.Tensor2D;
  /** Over channel groups of x [B, h, w, C] (Wu & He 2018): batch statistics would tie the samples of a batch together. */
  groupNorm(x: tf.Tensor4D, gain: tf.Tensor1D, bias: tf.Tensor1D, groups: number): tf.Tensor4D;
  /** Rows of table [V, D] by id [N] → [N, D]. */
  embedding(table: tf.Tensor2D, ids: tf.Tensor1D): tf.Tensor2D;
  /** Rotary positions (Su et al. 2021) on x [B, H, L, D/H], split-half form. */
  rotary(x: tf.Tensor4D): tf.Tensor4D;
  /** Causal softmax(q kᵀ / √d) v on [B, H, L, d]. */
  causalAttention(q: tf.Tensor4D, k: tf.Tensor4D, v: tf.Tensor4D): tf.Tensor4D;
  /** The same of queries, keys and values [B, L, 3 D], side by side and each split into heads → [B, L, D]. */
  selfAttention(qkv: tf.Tensor3D, heads: number): tf.Tensor3D;
  /** Cross-entropy of each row: logits [N, C], labels int32 [N] → [N]. */
  crossEntropy(logits: tf.Tensor2D, labels: tf.Tensor1D): tf.Tensor1D;
}
