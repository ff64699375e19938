import { elementCount } from '@longtail/core';
import type { BatchStats, LossName } from '@longtail/core';
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

/** How many labels of each sample the largest logit hits, int32 [batch]; undefined for regression. */
export function correctPerSample(context: Pick<BlockContext, 'tf'>, loss: LossName, output: tf.Tensor, targets: tf.Tensor): tf.Tensor1D | undefined {
  const { tf } = context;
  if (loss !== 'cross-entropy') return undefined;
  const [samples, classes] = [output.shape[0], output.shape[output.rank - 1]];
  const predicted = tf.argMax(tf.reshape(output, [-1, classes]), 1);
  const hits = tf.cast(tf.equal(predicted, tf.reshape(targets, [-1])), 'int32');
  return tf.sum<tf.Tensor1D>(tf.reshape(hits, [samples, -1]), 1);
}

/** How many labels the largest logit hits, as an int32 scalar; undefined for regression. */
export function correctTargets(context: Pick<BlockContext, 'tf'>, loss: LossName, output: tf.Tensor, targets: tf.Tensor): tf.Scalar | undefined {
  const { tf } = context;
  if (loss !== 'cross-entropy') return undefined;
  const classes = output.shape[output.rank - 1];
  const predicted = tf.argMax(tf.reshape(output, [-1, classes]), 1);
  return tf.sum<tf.Scalar>(tf.cast(tf.equal(predicted, tf.reshape(targets, [-1])), 'int32'));
}

/** Statistics of a batch from the loss and the hits of each sample. */
export function statsOf(loss: LossName, targetShape: readonly number[], losses: Iterable<number>, hits: Iterable<number>): BatchStats {
  const perSample = targetsPerSample(loss, targetShape);
  let [samples, lossSum, correct] = [0, 0, 0];
  for (const value of losses) {
    samples++;
    lossSum += value * perSample;
  }
  for (const count of hits) correct += count;
  return { samples, targets: samples * perSample, lossSum, correct };
}
