import type * as tf from '@tensorflow/tfjs';
import type { ParameterSpec } from '../../block.js';
import { ZEROS } from '../layers.js';
import { kerasInitializer } from './initializers.js';
import type { KerasLayer, LayerReader } from './layer.js';

interface Window {
  readonly kernel: readonly [number, number];
  readonly strides: readonly [number, number];
  readonly dilation: readonly [number, number];
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
  const dilation = layer.pair('dilation_rate', 1);
  const padding = layer.padding();
  const out = (size: number, axis: 0 | 1): number => {
    const reach = (kernel[axis] - 1) * dilation[axis] + 1;
    return padding === 'same' ? Math.ceil(size / strides[axis]) : Math.floor((size - reach) / strides[axis]) + 1;
  };
  return { kernel, strides, dilation, padding, inputs, extent: [out(height, 0), out(width, 1)] };
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
  const { kernel, strides, dilation, padding, inputs, extent } = window(layer);
  const filters = layer.number('filters');
  if (layer.get('groups', 1) !== 1) throw layer.fail('grouped convolutions are not supported');
  const activation = layer.activation();
  const simple = strides[0] === strides[1] && dilation[0] === 1 && dilation[1] === 1;
  return {
    parameters: [kernelParameter(layer, 'kernel', 'kernel_initializer', [...kernel, inputs, filters]), ...biasParameter(layer, filters)],
    outputShape: [...extent, filters],
    apply(context, [x], [w, b]) {
      const { tf, ops } = context;
      if (simple) return activation(context, ops.conv2d(x as tf.Tensor4D, w as tf.Tensor4D, b as tf.Tensor1D | undefined, strides[0], padding));
      const y = tf.conv2d(x as tf.Tensor4D, w as tf.Tensor4D, [...strides], padding, 'NHWC', [...dilation]);
      return activation(context, b ? tf.add(y, b) : y);
    },
  };
}

function depthwiseConv2d(layer: LayerReader): KerasLayer {
  const { kernel, strides, dilation, padding, inputs, extent } = window(layer);
  const multiplier = layer.number('depth_multiplier', 1);
  const activation = layer.activation();
  return {
    parameters: [kernelParameter(layer, 'depthwise_kernel', 'depthwise_initializer', [...kernel, inputs, multiplier]), ...biasParameter(layer, inputs * multiplier)],
    outputShape: [...extent, inputs * multiplier],
    apply(context, [x], [w, b]) {
      const { tf } = context;
      const y = tf.depthwiseConv2d(x as tf.Tensor4D, w as tf.Tensor4D, [...strides], padding, 'NHWC', [...dilation]);
      return activation(context, b ? tf.add(y, b) : y);
    },
  };
}

/** Depthwise, then 1×1 (Chollet 2017). */
function separableConv2d(layer: LayerReader): KerasLayer {
  const { kernel, strides, dilation, padding, inputs, extent } = window(layer);
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
      const deep = tf.depthwiseConv2d(x as tf.Tensor4D, depthwise as tf.Tensor4D, [...strides], padding, 'NHWC', [...dilation]);
      return activation(context, ops.conv2d(deep, pointwise as tf.Tensor4D, b as tf.Tensor1D | undefined, 1, 'valid'));
    },
  };
}

export const convolutionLayers = { Conv2D: conv2d, DepthwiseConv2D: depthwiseConv2d, SeparableConv2D: separableConv2d } as const;
