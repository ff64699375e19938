import { createRng, elementCount } from '@longtail/core';
import type { Batch, DataSignature, LossName, ModelSpec } from '@longtail/core';
import { writeKerasModel } from './keras-model.js';
import { writeModuleModel } from './module-model.js';

/** A model small enough for SwiftShader, with data of its shape. */
export interface ConformanceCase {
  readonly name: string;
  readonly spec: ModelSpec;
  readonly loss: LossName;
  readonly data: DataSignature;
  readonly batch: Batch;
}

const SAMPLES = 5;

function labels(inputShape: readonly number[], classes: number): DataSignature {
  return { inputShape, inputType: 'float32', targetShape: [], targetType: 'int32', classes };
}

/** Every kind of model. Files of imports are written into `folder`. */
export function conformanceCases(folder: string): readonly ConformanceCase[] {
  const image = labels([8, 8, 2], 3);
  const gpt: DataSignature = { inputShape: [6], inputType: 'int32', targetShape: [6], targetType: 'int32', classes: 11 };
  const regression: DataSignature = { inputShape: [7], inputType: 'float32', targetShape: [2], targetType: 'float32', classes: undefined };
  return [
    testCase('mlp', { type: 'mlp', input: 12, hidden: [9, 8], outputs: 4 }, labels([12], 4)),
    testCase('mlp regression', { type: 'mlp', input: 7, hidden: [6], outputs: 2 }, regression, 'mean-squared-error'),
    testCase('cnn', { type: 'cnn', input: [8, 8, 2], channels: [4, 6], kernel: 3, padding: 'same', pool: 'each', hidden: [10], outputs: 3 }, image),
    testCase('resnet', { type: 'resnet', input: [8, 8, 2], width: 4, depths: [1, 1], outputs: 3 }, image),
    testCase('gpt', { type: 'gpt', vocabulary: 11, context: 6, width: 8, layers: 1, heads: 2, feedForward: 12 }, gpt),
    testCase('keras', { type: 'keras', path: writeKerasModel(folder), weights: 'file' }, image),
    testCase('module', { type: 'module', path: writeModuleModel(folder), options: { width: 6 } }, labels([5], 3)),
  ];
}

function testCase(name: string, spec: ModelSpec, data: DataSignature, loss: LossName = 'cross-entropy'): ConformanceCase {
  return { name, spec, data, loss, batch: randomBatch(name, data, SAMPLES) };
}

/** The same for the same seed. */
export function randomBatch(seed: string, data: DataSignature, samples: number): Batch {
  const rng = createRng(seed);
  const tensor = (shape: readonly number[], dtype: 'float32' | 'int32'): Batch['inputs'] => {
    const length = samples * elementCount(shape);
    const values = dtype === 'int32' ? Int32Array.from({ length }, () => rng.below(data.classes!)) : Float32Array.from({ length }, () => rng.normal());
    return { dtype, shape: [samples, ...shape], data: values };
  };
  return { samples, inputs: tensor(data.inputShape, data.inputType), targets: tensor(data.targetShape, data.targetType) };
}
