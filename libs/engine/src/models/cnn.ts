import { elementCount } from '@longtail/core';
import type { ModelSpec } from '@longtail/core';
import type * as tf from '@tensorflow/tfjs';
import type { Block, Model } from '../block.js';
import { heNormal } from '../initialize.js';
import { denseBlock, modelError, shapeText, slid, ZEROS } from './layers.js';

type CnnSpec = Extract<ModelSpec, { type: 'cnn' }>;

/** Convolutions with ReLU and max-pooling, then dense layers; weights after He et al. 2015. A block a layer. */
export function cnn(spec: CnnSpec): Model {
  const blocks: Block[] = [];
  let shape: readonly number[] = spec.input;
  spec.channels.forEach((channels, i) => {
    const pooled = spec.pool === 'each' || i === spec.channels.length - 1;
    const block = convolutionBlock(`convolution${i}`, spec, shape[2], channels, pooled);
    shape = block.outputShape(shape);
    blocks.push(block);
  });
  const widths = [elementCount(shape), ...spec.hidden];
  spec.hidden.forEach((width, i) => blocks.push(denseBlock(`hidden${i}`, widths[i], width, 'relu')));
  blocks.push(denseBlock('output', widths[widths.length - 1], spec.outputs, 'none'));
  return { inputShape: spec.input, inputType: 'float32', blocks };
}

function convolutionBlock(name: string, spec: CnnSpec, inputs: number, outputs: number, pooled: boolean): Block {
  const { kernel, padding } = spec;
  return {
    name,
    parameters: [
      { name: 'kernel', shape: [kernel, kernel, inputs, outputs], init: heNormal(kernel * kernel * inputs) },
      { name: 'bias', shape: [outputs], init: ZEROS },
    ],
    outputShape(inputShape) {
      const [height, width] = inputShape.map((extent) => slid(extent, kernel, 1, padding));
      const out = pooled ? [slid(height, 2, 2, 'valid'), slid(width, 2, 2, 'valid'), outputs] : [height, width, outputs];
      if (out[0] < 1 || out[1] < 1) {
        throw modelError(`block ${name}: its input ${shapeText(inputShape)} is too small for a ${kernel}×${kernel} kernel${pooled ? ' and 2×2 pooling' : ''}`, 'Use fewer channels entries, padding: same, or pool: last.');
      }
      return out;
    },
    cost(inputShape) {
      const [height, width] = inputShape.map((extent) => slid(extent, kernel, 1, padding));
      const pixels = height * width;
      return {
        forwardFlops: 2 * kernel * kernel * inputs * outputs * pixels,
        stashValues: elementCount(inputShape) + pixels * outputs * (pooled ? 1.25 : 1),
      };
    },
    apply({ ops }, input, [weights, bias]) {
      const y = ops.relu(ops.conv2d(input as tf.Tensor4D, weights as tf.Tensor4D, bias as tf.Tensor1D, 1, padding)) as tf.Tensor4D;
      return pooled ? ops.maxPool2d(y, 2, 2, 'valid') : y;
    },
  };
}
