import type * as tfjs from '@tensorflow/tfjs';
import { differentiable } from '../differentiable.js';
import type { Ops } from '../ops.js';
import type { NativeOps } from './native-ops.js';

/** From this many logits on, TensorFlow's own kernel, which looks at each one three times, is the slower way. */
const MANY_LOGITS = 2 ** 18;

export function crossEntropyOp(tf: typeof tfjs, native: NativeOps): Ops['crossEntropy'] {
  return (logits, labels) =>
    logits.size < MANY_LOGITS ? ofFewLogits(tf, native, logits, labels) : ofManyLogits(tf, native, logits, labels);
}

function ofFewLogits(tf: typeof tfjs, native: NativeOps, logits: tfjs.Tensor2D, labels: tfjs.Tensor1D): tfjs.Tensor1D {
  return differentiable(
    tf,
    { logits },
    (save) => {
      const [losses, slope] = native.sparseSoftmaxCrossEntropy(logits, labels);
      save([slope]);
      return losses;
    },
    (dy, [slope]) => ({ logits: () => tf.mul(slope, tf.reshape(dy, [-1, 1])) }),
  );
}

/**
 * By softmax p: log Σ exp z = z_best − log p_best, where p_best is never less than one over the classes, and the gradient
 * is p · dy with dy taken off at the labels, in place. `argMax` is the one that the count of correct predictions takes.
 */
function ofManyLogits(tf: typeof tfjs, native: NativeOps, logits: tfjs.Tensor2D, labels: tfjs.Tensor1D): tfjs.Tensor1D {
  const [rows, classes] = logits.shape;
  const positions = (columns: tfjs.Tensor1D): tfjs.Tensor1D =>
    tf.add(tf.mul(tf.range(0, rows, 1, 'int32'), tf.scalar(classes, 'int32')), columns);
  return differentiable(
    tf,
    { logits },
    (save) => {
      const flat = tf.reshape(logits, [-1]);
      const p = native.float<tfjs.Tensor2D>('Softmax', [logits]);
      const best = positions(tf.argMax(logits, 1));
      const at = positions(labels);
      save([p, at]);
      const logTotal = tf.sub(tf.gather(flat, best), tf.log(tf.gather(tf.reshape(p, [-1]), best)));
      return tf.sub(logTotal, tf.gather(flat, at));
    },
    (dy, [p, at]) => ({
      logits: () => {
        const scaled = tf.reshape(tf.mul(p, tf.reshape(dy, [-1, 1])), [-1]) as tfjs.Tensor1D;
        return tf.reshape(native.subtractAt(scaled, tf.reshape(at, [-1, 1]), dy), [rows, classes]);
      },
    }),
  );
}
