import type * as tf from '@tensorflow/tfjs';
import type { ParameterSpec } from '../../block.js';
import { ONES, ZEROS } from '../layers.js';
import type { KerasLayer, LayerReader } from './layer.js';

function onLastAxis(layer: LayerReader): number {
  const rank = layer.inputShape.length;
  const given = layer.get<number | readonly number[]>('axis', -1);
  const axis = typeof given === 'number' ? given : given[0];
  if (axis !== -1 && axis !== rank) throw layer.fail(`axis ${axis} is not supported`, 'Normalise over the last axis.');
  return layer.inputShape[rank - 1];
}

function gainAndBias(layer: LayerReader, channels: number): ParameterSpec[] {
  return [
    ...(layer.get('scale', true) ? [{ name: 'gamma', shape: [channels], init: ONES }] : []),
    ...(layer.get('center', true) ? [{ name: 'beta', shape: [channels], init: ZEROS }] : []),
  ];
}

/** Inference mode: the moving statistics are frozen, so that no sample depends on another of its batch. */
function batchNorm(layer: LayerReader): KerasLayer {
  const channels = onLastAxis(layer);
  const epsilon = layer.number('epsilon', 1e-3);
  const learnt = gainAndBias(layer, channels);
  return {
    parameters: [
      ...learnt,
      { name: 'moving_mean', shape: [channels], init: ZEROS, trainable: false },
      { name: 'moving_variance', shape: [channels], init: ONES, trainable: false },
    ],
    outputShape: layer.inputShape,
    apply({ tf }, [x], parameters) {
      const [mean, variance] = parameters.slice(learnt.length);
      const named = (name: string): tf.Tensor | undefined => parameters[learnt.findIndex((spec) => spec.name === name)];
      const [gamma, beta] = [named('gamma'), named('beta')];
      const r = tf.rsqrt(tf.add(variance, epsilon));
      const y = tf.mul(tf.sub(x, mean), gamma ? tf.mul(r, gamma) : r);
      return beta ? tf.add(y, beta) : y;
    },
  };
}

function layerNorm(layer: LayerReader): KerasLayer {
  const channels = onLastAxis(layer);
  const epsilon = layer.number('epsilon', 1e-3);
  const learnt = gainAndBias(layer, channels);
  return {
    parameters: learnt,
    outputShape: layer.inputShape,
    apply({ tf }, [x], parameters) {
      const centred = tf.sub(x, tf.mean(x, -1, true));
      let y: tf.Tensor = tf.mul(centred, tf.rsqrt(tf.add(tf.mean(tf.square(centred), -1, true), epsilon)));
      learnt.forEach(({ name }, i) => {
        y = name === 'gamma' ? tf.mul(y, parameters[i]) : tf.add(y, parameters[i]);
      });
      return y;
    },
  };
}

export const normLayers = { BatchNormalization: batchNorm, LayerNormalization: layerNorm } as const;
