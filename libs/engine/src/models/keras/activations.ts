import type * as tf from '@tensorflow/tfjs';
import type { BlockContext } from '../../block.js';

type Activation = (context: BlockContext, x: tf.Tensor) => tf.Tensor;

/** Activations by the name that Keras gives them. */
export const ACTIVATIONS: Readonly<Record<string, Activation>> = {
  linear: (_, x) => x,
  relu: ({ ops }, x) => ops.relu(x),
  relu6: ({ tf }, x) => tf.relu6(x),
  elu: ({ tf }, x) => tf.elu(x),
  selu: ({ tf }, x) => tf.selu(x),
  sigmoid: ({ tf }, x) => tf.sigmoid(x),
  hard_sigmoid: ({ tf }, x) => tf.clipByValue(tf.add(tf.mul(x, 0.2), 0.5), 0, 1),
  tanh: ({ tf }, x) => tf.tanh(x),
  softmax: ({ tf }, x) => tf.softmax(x),
  softplus: ({ tf }, x) => tf.softplus(x),
  softsign: ({ tf }, x) => tf.div(x, tf.add(tf.abs(x), 1)),
  swish: ({ tf }, x) => tf.mul(x, tf.sigmoid(x)),
  silu: ({ tf }, x) => tf.mul(x, tf.sigmoid(x)),
  gelu: ({ ops }, x) => ops.gelu(x),
  leaky_relu: ({ tf }, x) => tf.leakyRelu(x, 0.2),
};
