import type * as tf from '@tensorflow/tfjs';
import type { ParameterSpec } from '../../block.js';
import { slid, ZEROS } from '../layers.js';
import { kerasInitializer } from './initializers.js';
import type { KerasLayer, LayerReader } from './layer.js';

interface Window {
  readonly kernel: readonly [number, number];
  readonly strides: readonly [number, number];
  readonly padding: 'same' | 'valid';
  readonly inputs: number;
  /** Output height and width. */
  readonly extent: readonly [number, number];
}

function window(layer: LayerReader): Window {
  layer.channelsLast();
  const [height, width, inputs] = layer.shapeOfRank(3);
  const kernel = layer.pair('kernel_size', 1);
  const strides = layer.pair('strides', 1);
  // TF.js has no gradient of a dilated convolution.
  if (layer.pair('dilation_rate', 1).some((rate) => rate !== 1)) throw layer.fail('dilated convolutions are not supported');
  const padding = layer.padding();
  const extent = [slid(height, kernel[0], strides[0], padding), slid(width, kernel[1], strides[1], padding)] as const;
  return { kernel, strides, padding, inputs, extent };
}

function kernelParameter(layer: LayerReader, name: string, key: string, shape: readonly number[]): ParameterSpec {
  const area = shape[0] * shape[1];
  const [fanIn, fanOut] = [area * shape[2], area * shape[3]];
  return { name, shape, init: kerasInitializer(layer.node.config[key], fanIn, fanOut, { kind: 'uniform', limit: Math.sqrt(6 / (fanIn + fanOut)) }) };
}

function biasParameter(layer: LayerReader, channels: number): ParameterSpec[] {
  return layer.get('use_bias', true) ? [{ name: 'bias', shape: [channels], init: ZEROS }] : [];
}

function conv2d(layer: LayerReader): KerasLayer {
  const { kernel, strides, padding, inputs, extent } = window(layer);
  const filters = layer.number('filters');
  if (layer.get('groups', 1) !== 1) throw layer.fail('grouped convolutions are not supported');
  const activation = layer.activation();
  return {
    parameters: [kernelParameter(layer, 'kernel', 'kernel_initializer', [...kernel, inputs, filters]), ...biasParameter(layer, filters)],
    outputShape: [...extent, filters],
    apply(context, [x], [w, b]) {
      const { tf, ops } = context;
      if (strides[0] === strides[1]) return activation(context, ops.conv2d(x as tf.Tensor4D, w as tf.Tensor4D, b as tf.Tensor1D | undefined, strides[0], padding));
      const y = tf.conv2d(x as tf.Tensor4D, w as tf.Tensor4D, [...strides], padding);
      return activation(context, b ? tf.add(y, b) : y);
    },
  };
}

function depthwiseConv2d(layer: LayerReader): KerasLayer {
  const { kernel, strides, padding, inputs, extent } = window(layer);
  const multiplier = layer.number('depth_multiplier', 1);
  const activation = layer.activation();
  return {
    parameters: [kernelParameter(layer, 'depthwise_kernel', 'depthwise_initializer', [...kernel, inputs, multiplier]), ...biasParameter(layer, inputs * multiplier)],
    outputShape: [...extent, inputs * multiplier],
    apply(context, [x], [w, b]) {
      const { tf } = context;
      const y = tf.depthwiseConv2d(x as tf.Tensor4D, w as tf.Tensor4D, [...strides], padding);
      return activation(context, b ? tf.add(y, b) : y);
    },
  };
}

/** Depthwise, then 1×1 (Chollet 2017). */
function separableConv2d(layer: LayerReader): KerasLayer {
  const { kernel, strides, padding, inputs, extent } = window(layer);
  const multiplier = layer.number('depth_multiplier', 1);
  const filters = layer.number('filters');
  const activation = layer.activation();
  return {
    parameters: [
      kernelParameter(layer, 'depthwise_kernel', 'depthwise_initializer', [...kernel, inputs, multiplier]),
      kernelParameter(layer, 'pointwise_kernel', 'pointwise_initializer', [1, 1, inputs * multiplier, filters]),
      ...biasParameter(layer, filters),
    ],
    outputShape: [...extent, filters],
    apply(context, [x], [depthwise, pointwise, b]) {
      const { tf, ops } = context;
      const deep = tf.depthwiseConv2d(x as tf.Tensor4D, depthwise as tf.Tensor4D, [...strides], padding);
      return activation(context, ops.conv2d(deep, pointwise as tf.Tensor4D, b as tf.Tensor1D | undefined, 1, 'valid'));
    },
  };
}

export const convolutionLayers = { Conv2D: conv2d, DepthwiseConv2D: depthwiseConv2d, SeparableConv2D: separableConv2d } as const;
