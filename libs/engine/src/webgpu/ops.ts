import type * as tfjs from '@tensorflow/tfjs';
import { differentiable } from '../differentiable.js';
import type { Ops } from '../ops.js';
import { portableOps } from '../ops/portable.js';

/** The portable operations, but for those that would not repeat bit for bit. */
export function webgpuOps(tf: typeof tfjs): Ops {
  return {
    ...portableOps(tf),
    // The backend sums segments with atomic additions, in whatever order they come. A product with the one-hot ids has
    // an order, and costs a third of what the head of a language model does.
    embedding: (table, ids) =>
      differentiable(
        tf,
        { table },
        (save) => {
          save([ids]);
          return tf.gather(table, ids);
        },
        (dy, [ids]) => ({ table: () => tf.matMul(tf.cast(tf.oneHot(ids as tfjs.Tensor1D, table.shape[0]), 'float32'), dy, true, false) }),
      ),
  };
}
