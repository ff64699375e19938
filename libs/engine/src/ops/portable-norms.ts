import type * as tfjs from '@tensorflow/tfjs';
import { differentiable } from '../differentiable.js';
import type { Ops } from '../ops.js';
import { NORM_EPSILON } from './constants.js';

/**
 * Normalisations with gradients of their own. With x̂ the normalised input and r the reciprocal deviation, over n values:
 * dx = r (dx̂ − mean(dx̂) − x̂ mean(dx̂ x̂)); RMS norm subtracts no mean.
 */
export function portableNorms(tf: typeof tfjs): Pick<Ops, 'layerNorm' | 'rmsNorm' | 'groupNorm'> {
  const reciprocalRoot = (variance: tfjs.Tensor): tfjs.Tensor => tf.rsqrt(tf.add(variance, NORM_EPSILON));

  const layerNorm: Ops['layerNorm'] = (x, gain, bias) =>
    differentiable(
      tf,
      { x, gain, bias },
      (save) => {
        const centred = tf.sub(x, tf.mean(x, 1, true));
        const r = reciprocalRoot(tf.mean(tf.square(centred), 1, true));
        const normal = tf.mul(centred, r);
        save([normal, r, gain]);
        return tf.add(tf.mul(normal, gain), bias) as tfjs.Tensor2D;
      },
      (dy, [normal, r, gain]) => ({
        x: () => {
          const dNormal = tf.mul(dy, gain);
          const projected = tf.mul(normal, tf.mean(tf.mul(dNormal, normal), 1, true));
          return tf.mul(tf.sub(tf.sub(dNormal, tf.mean(dNormal, 1, true)), projected), r);
        },
        gain: () => tf.sum(tf.mul(dy, normal), 0),
        bias: () => tf.sum(dy, 0),
      }),
    );

  const rmsNorm: Ops['rmsNorm'] = (x, gain) =>
    differentiable(
      tf,
      { x, gain },
      (save) => {
        const r = reciprocalRoot(tf.mean(tf.square(x), 1, true));
        const normal = tf.mul(x, r);
        save([normal, r, gain]);
        return tf.mul(normal, gain) as tfjs.Tensor2D;
      },
      (dy, [normal, r, gain]) => ({
        x: () => {
          const dNormal = tf.mul(dy, gain);
          return tf.mul(tf.sub(dNormal, tf.mul(normal, tf.mean(tf.mul(dNormal, normal), 1, true))), r);
        },
        gain: () => tf.sum(tf.mul(dy, normal), 0),
      }),
    );

  /** Sums of channels [B, C] added up within their group and spread back over its channels: [B, 1, C]. */
  const overGroups = (channelSums: tfjs.Tensor, groups: number): tfjs.Tensor => {
    const [batch, channels] = channelSums.shape as [number, number];
    const sums = tf.sum(tf.reshape(channelSums, [batch, groups, channels / groups]), 2, true);
    return tf.reshape(tf.tile(sums, [1, 1, channels / groups]), [batch, 1, channels]);
  };

  // Statistics go by way of channel sums [B, C]: full-size tensors only ever meet a [B, 1, C] one.
  const groupNorm: Ops['groupNorm'] = (x, gain, bias, groups) => {
    const [batch, height, width, channels] = x.shape;
    const flatShape: [number, number, number] = [batch, height * width, channels];
    const perGroup = height * width * (channels / groups);
    const groupMean = (flat: tfjs.Tensor): tfjs.Tensor => tf.div(overGroups(tf.sum(flat, 1), groups), perGroup);
    return differentiable(
      tf,
      { x, gain, bias },
      (save) => {
        const flat = tf.reshape(x, flatShape);
        const centred = tf.sub(flat, groupMean(flat));
        const r = reciprocalRoot(groupMean(tf.square(centred)));
        const normal = tf.mul(centred, r);
        save([normal, r, gain]);
        return tf.reshape(tf.add(tf.mul(normal, gain), bias), x.shape);
      },
      (dy, [normal, r, gain]) => {
        const dFlat = tf.reshape(dy, flatShape);
        const dBias = tf.sum(dFlat, 1);
        const dGain = tf.sum(tf.mul(dFlat, normal), 1);
        return {
          x: () => {
            const mean = tf.div(overGroups(tf.mul(dBias, gain), groups), perGroup);
            const projection = tf.div(overGroups(tf.mul(dGain, gain), groups), perGroup);
            const dNormal = tf.sub(tf.sub(tf.mul(dFlat, gain), mean), tf.mul(normal, projection));
            return tf.reshape(tf.mul(dNormal, r), x.shape);
          },
          gain: () => tf.sum(dGain, 0),
          bias: () => tf.sum(dBias, 0),
        };
      },
    );
  };
  return { layerNorm, rmsNorm, groupNorm };
}
