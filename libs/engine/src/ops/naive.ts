import type * as tfjs from '@tensorflow/tfjs';
import type { Ops } from '../ops.js';
import { causalMask, NORM_EPSILON, rotaryTables } from './constants.js';

/** ½(1 + tanh u) = σ(2u), which loses no digits where u is far below zero: twice √(2/π). */
const GELU_SCALE = 2 * Math.sqrt(2 / Math.PI);

/** Attention on queries, keys and values that lie side by side, by one on heads apart. */
export function splitHeads(
  tf: typeof tfjs,
  qkv: tfjs.Tensor3D,
  heads: number,
  causalAttention: Ops['causalAttention'],
): tfjs.Tensor3D {
  const [batch, length, tripled] = qkv.shape;
  const width = tripled / 3;
  const parts = tf.transpose(tf.reshape(qkv, [batch, length, 3, heads, width / heads]), [2, 0, 3, 1, 4]);
  const [q, k, v] = tf.unstack(parts) as [tfjs.Tensor4D, tfjs.Tensor4D, tfjs.Tensor4D];
  return tf.reshape(tf.transpose(causalAttention(q, k, v), [0, 2, 1, 3]), [batch, length, width]);
}

/** The definition of each operation in tf-core, differentiated by TF.js: slow, obvious, the oracle. */
export function naiveOps(tf: typeof tfjs): Ops {
  const normalize = (x: tfjs.Tensor, axes: number[]): tfjs.Tensor => {
    const centred = tf.sub(x, tf.mean(x, axes, true));
    return tf.mul(centred, tf.rsqrt(tf.add(tf.mean(tf.square(centred), axes, true), NORM_EPSILON)));
  };
  const ops: Ops = {
    relu: (x) => tf.relu(x),
    gelu: (x) => tf.mul(x, tf.sigmoid(tf.mul(GELU_SCALE, tf.add(x, tf.mul(0.044715, tf.mul(x, tf.square(x))))))),
    swiglu: (gate, up) => tf.mul(tf.mul(gate, tf.sigmoid(gate)), up),
    linear: (x, w, b, transposeWeights = false) => {
      const product = tf.matMul(x, w, false, transposeWeights) as tfjs.Tensor2D;
      return b ? tf.add(product, b) : product;
    },
    conv2d: (x, w, b, stride, padding) => {
      const y = tf.conv2d(x, w, stride, padding);
      return b ? tf.add(y, b) : y;
    },
    maxPool2d: (x, size, stride, padding) => tf.maxPool(x, size, stride, padding),
    layerNorm: (x, gain, bias) => tf.add(tf.mul(normalize(x, [1]), gain), bias),
    rmsNorm: (x, gain) => tf.mul(tf.mul(x, tf.rsqrt(tf.add(tf.mean(tf.square(x), 1, true), NORM_EPSILON))), gain),
    groupNorm: (x, gain, bias, groups) => {
      const [batch, height, width, channels] = x.shape;
      const grouped = tf.reshape(x, [batch, height * width, groups, channels / groups]);
      return tf.add(tf.mul(tf.reshape(normalize(grouped, [1, 3]), x.shape), gain), bias) as tfjs.Tensor4D;
    },
    embedding: (table, ids) => tf.gather(table, ids),
    rotary: (x) => {
      const [, , length, width] = x.shape;
      const { cos, sin } = rotaryTables(tf, length, width);
      const [a, b] = tf.split(x, 2, 3);
      return tf.concat([tf.sub(tf.mul(a, cos), tf.mul(b, sin)), tf.add(tf.mul(b, cos), tf.mul(a, sin))] as tfjs.Tensor4D[], 3);
    },
    causalAttention: (q, k, v) => {
      const [, , length, width] = q.shape;
      const scores = tf.mul(tf.matMul(q, k, false, true), 1 / Math.sqrt(width));
      return tf.matMul(tf.softmax(tf.add(scores, causalMask(tf, length))), v) as tfjs.Tensor4D;
    },
    selfAttention: (qkv, heads) => splitHeads(tf, qkv, heads, ops.causalAttention),
    crossEntropy: (logits, labels) => tf.neg(tf.sum<tfjs.Tensor1D>(tf.mul(tf.oneHot(labels, logits.shape[1]), tf.logSoftmax(logits)), 1)),
  };
  return ops;
}
