import { elementCount } from '@longtail/core';
import type { LossName } from '@longtail/core';
import type * as tf from '@tensorflow/tfjs';
import type { BlockContext } from './block.js';

/** Predictions that count as one target each: labels one by one, a regression sample as a whole. */
export function targetsPerSample(loss: LossName, targetShape: readonly number[]): number {
  return loss === 'cross-entropy' ? elementCount(targetShape) : 1;
}

/**
 * Loss of each sample, the mean over its targets: [batch].
 * Cross-entropy takes logits [batch, …targetShape, classes] and int32 labels [batch, …targetShape]; squared error takes
 * values and targets of one shape.
 */
export function sampleLosses({ tf, ops }: BlockContext, loss: LossName, output: tf.Tensor, targets: tf.Tensor): tf.Tensor1D {
  const samples = output.shape[0];
  if (loss === 'mean-squared-error') {
    return tf.mean(tf.reshape(tf.square(tf.sub(output, tf.reshape(targets, output.shape))), [samples, -1]), 1);
  }
  const classes = output.shape[output.rank - 1];
  const losses = ops.crossEntropy(tf.reshape(output, [-1, classes]), tf.reshape(targets, [-1]));
  return losses.size === samples ? losses : tf.mean(tf.reshape(losses, [samples, -1]), 1);
}

/** How many labels the largest logit hits, as an int32 scalar; undefined for regression. */
export function correctTargets(context: Pick<BlockContext, 'tf'>, loss: LossName, output: tf.Tensor, targets: tf.Tensor): tf.Scalar | undefined {
  const { tf } = context;
  if (loss !== 'cross-entropy') return undefined;
  const classes = output.shape[output.rank - 1];
  const predicted = tf.argMax(tf.reshape(output, [-1, classes]), 1);
  return tf.sum<tf.Scalar>(tf.cast(tf.equal(predicted, tf.reshape(targets, [-1])), 'int32'));
}
