import type * as tfjs from '@tensorflow/tfjs';

/** Added to a variance before its root, in every norm. */
export const NORM_EPSILON = 1e-5;

/** Far enough below any score that softmax makes it 0, near enough that adding to it stays finite. */
const MASKED = -1e9;

/** [length, length]: 0 where a row may look, hugely negative above the diagonal. */
export function causalMask(tf: typeof tfjs, length: number): tfjs.Tensor2D {
  const values = new Float32Array(length * length);
  for (let row = 0; row < length; row++) values.fill(MASKED, row * length + row + 1, (row + 1) * length);
  return tf.tensor2d(values, [length, length]);
}

/** Angles position · 10000^(-2i/width) of Su et al. 2021, as cosines and sines of shape [length, width / 2]. */
export function rotaryTables(tf: typeof tfjs, length: number, width: number): { cos: tfjs.Tensor2D; sin: tfjs.Tensor2D } {
  const half = width / 2;
  const cos = new Float32Array(length * half);
  const sin = new Float32Array(length * half);
  for (let position = 0; position < length; position++) {
    for (let i = 0; i < half; i++) {
      const angle = position * 10000 ** (-i / half);
      cos[position * half + i] = Math.cos(angle);
      sin[position * half + i] = Math.sin(angle);
    }
  }
  return { cos: tf.tensor2d(cos, [length, half]), sin: tf.tensor2d(sin, [length, half]) };
}
