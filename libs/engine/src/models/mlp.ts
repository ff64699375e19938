import type { ModelSpec } from '@longtail/core';
import type { Model } from '../block.js';
import { denseBlock } from './layers.js';

/** Dense layers with ReLU between them; weights after He et al. 2015. A block a layer. */
export function mlp(spec: Extract<ModelSpec, { type: 'mlp' }>, inputShape: readonly number[]): Model {
  const widths = [spec.input, ...spec.hidden];
  const hidden = spec.hidden.map((width, i) => denseBlock(`hidden${i}`, widths[i], width, 'relu'));
  return { inputShape, inputType: 'float32', blocks: [...hidden, denseBlock('output', widths[widths.length - 1], spec.outputs, 'none')] };
}
