import type * as tfjs from '@tensorflow/tfjs';
import { differentiable } from '../differentiable.js';
import type { Ops } from '../ops.js';
import { causalMask, rotaryTables } from './constants.js';
import { naiveOps, splitHeads } from './naive.js';
import { portableNorms } from './portable-norms.js';

const GELU_SCALE = Math.sqrt(2 / Math.PI);
const GELU_CUBIC = 0.044715;

/**
 * Operations with gradients of their own, in tf-core only, so that they run on every backend: fewer kernels and fewer
 * stashed tensors than the naive ones, the same numbers up to rounding.
 */
export function portableOps(tf: typeof tfjs): Ops {
  return { ...naiveOps(tf), ...portableNorms(tf), ...activations(tf), ...products(tf), ...lookups(tf) };
}

function activations(tf: typeof tfjs): Pick<Ops, 'relu' | 'gelu' | 'swiglu'> {
  return {
    relu: (x) =>
      differentiable(
        tf,
        { x },
        (save) => {
          const y = tf.relu(x);
          save([y]);
          return y;
        },
        (dy, [y]) => ({ x: () => tf.mul(dy, tf.step(y)) }),
      ),
    gelu: (x) =>
      differentiable(
        tf,
        { x },
        (save) => {
          const tanh = tf.tanh(tf.mul(x, tf.add(tf.mul(tf.square(x), GELU_SCALE * GELU_CUBIC), GELU_SCALE)));
          save([x, tanh]);
          return tf.mul(x, tf.mul(tf.add(tanh, 1), 0.5));
        },
        // ½(1 + t) + ½ x (1 − t²) · √(2/π) (1 + 3 · 0.044715 x²)
        (dy, [x, tanh]) => ({
          x: () => {
            const inner = tf.add(tf.mul(tf.square(x), GELU_SCALE * 1.5 * GELU_CUBIC), GELU_SCALE * 0.5);
            const slope = tf.mul(tf.sub(1, tf.square(tanh)), tf.mul(x, inner));
            return tf.mul(dy, tf.add(tf.mul(tf.add(tanh, 1), 0.5), slope));
          },
        }),
      ),
    swiglu: (gate, up) =>
      differentiable(
        tf,
        { gate, up },
        (save) => {
          const sigmoid = tf.sigmoid(gate);
          save([gate, up, sigmoid]);
          return tf.mul(tf.mul(gate, sigmoid), up);
        },
        (dy, [gate, up, sigmoid]) => {
          const silu = tf.mul(gate, sigmoid);
          return {
            // silu' = σ + silu · (1 − σ)
            gate: () => tf.mul(tf.mul(dy, up), tf.add(sigmoid, tf.mul(silu, tf.sub(1, sigmoid)))),
            up: () => tf.mul(dy, silu),
          };
        },
      ),
  };
}

function products(tf: typeof tfjs): Pick<Ops, 'linear' | 'causalAttention' | 'selfAttention'> {
  const linear: Ops['linear'] = (x, w, b, transposeWeights = false) => {
    const forward = (save: (tensors: tfjs.Tensor[]) => void): tfjs.Tensor2D => {
      save([x, w]);
      const product = tf.matMul(x, w, false, transposeWeights) as tfjs.Tensor2D;
      return b ? tf.add(product, b) : product;
    };
    const backward = (dy: tfjs.Tensor2D, [x, w]: tfjs.Tensor[]) => ({
      x: () => tf.matMul(dy, w, false, !transposeWeights),
      w: () => (transposeWeights ? tf.matMul(dy, x, true, false) : tf.matMul(x, dy, true, false)),
    });
    return b
      ? differentiable(tf, { x, w, b }, forward, (dy, saved) => ({ ...backward(dy, saved), b: () => tf.sum(dy, 0) }))
      : differentiable(tf, { x, w }, forward, backward);
  };

  const causalAttention: Ops['causalAttention'] = (q, k, v) =>
    differentiable(
      tf,
      { q, k, v },
      (save) => {
        const [, , length, width] = q.shape;
        const scaled = tf.mul(q, 1 / Math.sqrt(width));
        const weights = tf.softmax(tf.add(tf.matMul(scaled, k, false, true), causalMask(tf, length)));
        save([scaled, k, v, weights]);
        return tf.matMul(weights, v) as tfjs.Tensor4D;
      },
      (dy, [scaled, k, v, weights]) => {
        const dWeights = tf.matMul(dy, v, false, true);
        const weighted = tf.mul(dWeights, weights);
        const dScores = tf.sub(weighted, tf.mul(weights, tf.sum(weighted, -1, true)));
        const width = scaled.shape[3]!;
        return {
          q: () => tf.mul(tf.matMul(dScores, k), 1 / Math.sqrt(width)),
          k: () => tf.matMul(dScores, scaled, true, false),
          v: () => tf.matMul(weights, dy, true, false),
        };
      },
    );
  return { linear, causalAttention, selfAttention: (qkv, heads) => splitHeads(tf, qkv, heads, causalAttention) };
}

function lookups(tf: typeof tfjs): Pick<Ops, 'embedding' | 'rotary' | 'crossEntropy'> {
  /** Rotates by the position's angle, or back: a rotation's gradient is its inverse. */
  const rotate = (x: tfjs.Tensor4D, direction: 1 | -1): tfjs.Tensor4D => {
    const [batch, heads, length, width] = x.shape;
    const half = width / 2;
    const { cos, sin } = rotaryTables(tf, length, width);
    const signedSin = direction === 1 ? sin : tf.neg(sin);
    const a = tf.slice(x, [0, 0, 0, 0], [batch, heads, length, half]);
    const b = tf.slice(x, [0, 0, 0, half], [batch, heads, length, half]);
    return tf.concat([tf.sub(tf.mul(a, cos), tf.mul(b, signedSin)), tf.add(tf.mul(b, cos), tf.mul(a, signedSin))] as tfjs.Tensor4D[], 3);
  };
  return {
    rotary: (x) =>
      differentiable(
        tf,
        { x },
        () => rotate(x, 1),
        (dy) => ({ x: () => rotate(dy, -1) }),
      ),
    embedding: (table, ids) =>
      differentiable(
        tf,
        { table },
        (save) => {
          save([ids]);
          return tf.gather(table, ids);
        },
        (dy, [ids]) => ({ table: () => tf.unsortedSegmentSum(dy, ids as tfjs.Tensor1D, table.shape[0]) }),
      ),
    crossEntropy: (logits, labels) =>
      differentiable(
        tf,
        { logits },
        (save) => {
          // Cast: asked for float32, oneHot on wasm writes the bits of an int32 1.
          const hot = tf.cast(tf.oneHot(labels, logits.shape[1]), 'float32');
          const highest = tf.max(logits, 1, true);
          const exponentials = tf.exp(tf.sub(logits, highest));
          const total = tf.sum(exponentials, 1, true);
          // softmax − one-hot is the gradient up to dy: the only thing worth keeping.
          save([tf.sub(tf.div(exponentials, total), hot)]);
          const logTotal = tf.add(tf.log(total), highest);
          return tf.reshape(tf.sub(logTotal, tf.sum(tf.mul(logits, hot), 1, true)), [logits.shape[0]]);
        },
        (dy, [slope]) => ({ logits: () => tf.mul(slope, tf.reshape(dy, [slope.shape[0]!, 1])) }),
      ),
  };
}
