import { elementCount, LongtailError } from '@longtail/core';
import type { ErrorDetails } from '@longtail/core';
import type * as tf from '@tensorflow/tfjs';
import type { Block, Initializer } from '../block.js';
import { heNormal } from '../initialize.js';

export const ZEROS: Initializer = { kind: 'zeros' };
export const ONES: Initializer = { kind: 'ones' };

export function shapeText(shape: readonly number[]): string {
  return `[${shape.join(', ')}]`;
}

export function modelError(message: string, hint?: string, code: ErrorDetails['code'] = 'invalid-file'): LongtailError {
  return new LongtailError(message, { code, hint });
}

/** A dense layer over the flattened sample, with ReLU unless it is the output. */
export function denseBlock(name: string, inputs: number, outputs: number, activation: 'relu' | 'none'): Block {
  return {
    name,
    parameters: [
      { name: 'weights', shape: [inputs, outputs], init: heNormal(inputs) },
      { name: 'bias', shape: [outputs], init: ZEROS },
    ],
    outputShape(inputShape) {
      if (elementCount(inputShape) !== inputs) throw modelError(`block ${name} takes ${inputs} values a sample, its input ${shapeText(inputShape)} has ${elementCount(inputShape)}`);
      return [outputs];
    },
    apply({ tf, ops }, input, [weights, bias]) {
      const y = ops.linear(tf.reshape(input, [-1, inputs]), weights as tf.Tensor2D, bias as tf.Tensor1D);
      return activation === 'relu' ? ops.relu(y) : y;
    },
  };
}

/** Height or width after a window of `size` moved by `stride`. */
export function slid(extent: number, size: number, stride: number, padding: 'same' | 'valid'): number {
  return padding === 'same' ? Math.ceil(extent / stride) : Math.floor((extent - size) / stride) + 1;
}
