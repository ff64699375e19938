import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { createRng, elementCount } from '@longtail/core';
import type { WeightEntry } from '../models/keras/topology.js';

interface Layer {
  readonly className: string;
  readonly name: string;
  readonly config?: Readonly<Record<string, unknown>>;
  readonly inputs: readonly string[];
  readonly weights?: Readonly<Record<string, readonly number[]>>;
}

/** A functional model on images [8, 8, 2] with a residual branch, as the tensorflowjs converter writes it. */
const LAYERS: readonly Layer[] = [
  { className: 'InputLayer', name: 'image', config: { batch_input_shape: [null, 8, 8, 2] }, inputs: [] },
  { className: 'Conv2D', name: 'conv', config: { filters: 4, kernel_size: [3, 3], strides: [1, 1], padding: 'same', activation: 'linear' }, inputs: ['image'], weights: { kernel: [3, 3, 2, 4], bias: [4] } },
  { className: 'BatchNormalization', name: 'norm', config: { axis: [3], epsilon: 0.001 }, inputs: ['conv'], weights: { gamma: [4], beta: [4], moving_mean: [4], moving_variance: [4] } },
  { className: 'Activation', name: 'relu6', config: { activation: 'relu6' }, inputs: ['norm'] },
  { className: 'DepthwiseConv2D', name: 'depthwise', config: { kernel_size: [3, 3], strides: [1, 1], padding: 'same', use_bias: false }, inputs: ['relu6'], weights: { depthwise_kernel: [3, 3, 4, 1] } },
  { className: 'Add', name: 'residual', inputs: ['relu6', 'depthwise'] },
  { className: 'AveragePooling2D', name: 'pool', config: { pool_size: [2, 2], strides: [2, 2], padding: 'valid' }, inputs: ['residual'] },
  { className: 'GlobalAveragePooling2D', name: 'global', inputs: ['pool'] },
  { className: 'Dropout', name: 'dropout', config: { rate: 0.5 }, inputs: ['global'] },
  { className: 'Dense', name: 'classes', config: { units: 3, activation: 'softmax' }, inputs: ['dropout'], weights: { kernel: [4, 3], bias: [3] } },
];

/** Writes `model.json` and two weight shards, one of them 8-bit; returns the path of `model.json`. */
export function writeKerasModel(folder: string): string {
  const rng = createRng('keras');
  const manifest: { paths: string[]; weights: WeightEntry[] }[] = [];
  mkdirSync(folder, { recursive: true });
  const shard = (name: string, layers: readonly Layer[], quantized: boolean): void => {
    const weights: WeightEntry[] = [];
    const bytes: Buffer[] = [];
    for (const layer of layers) {
      for (const [weight, shape] of Object.entries(layer.weights ?? {})) {
        const values = Float32Array.from({ length: elementCount(shape) }, () => (weight === 'moving_variance' ? 0.5 + rng.uniform() : 0.6 * rng.normal()));
        const entry = { name: `${layer.name}/${weight}`, shape, dtype: 'float32' };
        if (quantized) {
          weights.push({ ...entry, quantization: { dtype: 'uint8', scale: 0.02, min: -2 } });
          bytes.push(Buffer.from(values.map((value) => Math.max(0, Math.min(255, Math.round((value + 2) / 0.02))))));
        } else {
          weights.push(entry);
          bytes.push(Buffer.from(values.buffer));
        }
      }
    }
    writeFileSync(join(folder, name), Buffer.concat(bytes));
    manifest.push({ paths: [name], weights });
  };
  shard('group1-shard1of1.bin', LAYERS.slice(0, 3), false);
  shard('group2-shard1of1.bin', LAYERS.slice(3), true);
  writeFileSync(join(folder, 'model.json'), JSON.stringify({ format: 'layers-model', modelTopology: topology(), weightsManifest: manifest }));
  return join(folder, 'model.json');
}

function topology(): object {
  const layers = LAYERS.map(({ className, name, config, inputs }) => ({
    class_name: className,
    name,
    config: { name, ...config },
    inbound_nodes: inputs.length === 0 ? [] : [inputs.map((input) => [input, 0, 0, {}])],
  }));
  const config = { name: 'sample', layers, input_layers: [['image', 0, 0]], output_layers: [['classes', 0, 0]] };
  return { keras_version: '2.15.0', backend: 'tensorflow', model_config: { class_name: 'Functional', config } };
}
