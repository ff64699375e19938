import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createRng, elementCount } from '@longtail/core';
import type * as tfjs from '@tensorflow/tfjs';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { ModelPurpose } from '../block.js';
import { writeKerasModel } from '../conformance/keras-model.js';
import { activate, loadTfjs } from '../eager/tfjs.js';
import { initialParameters } from '../initialize.js';
import { naiveOps } from '../ops/naive.js';
import { applyBlocks, stageModel } from '../stage-model.js';
import { createModel } from './create.js';
import { halfToFloat } from './keras/weights.js';

const tf = loadTfjs();
const folder = mkdtempSync(join(tmpdir(), 'longtail-keras-'));
beforeAll(() => activate(tf, 'cpu', ''));
afterAll(() => rmSync(folder, { recursive: true }));

function purpose(inputShape: readonly number[], classes: number, inputType: 'float32' | 'int32' = 'float32'): ModelPurpose {
  return { inputShape, inputType, targetShape: [], targetType: 'int32', classes, loss: 'cross-entropy' };
}

/** Saves as `model.save('file://…')` of tfjs-node does. */
async function save(model: tfjs.LayersModel, name: string): Promise<string> {
  const path = join(folder, name);
  mkdirSync(path, { recursive: true });
  await model.save(
    tf.io.withSaveHandler(async (artifacts) => {
      writeFileSync(join(path, 'weights.bin'), Buffer.from(artifacts.weightData as ArrayBuffer));
      const weightsManifest = [{ paths: ['weights.bin'], weights: artifacts.weightSpecs }];
      writeFileSync(join(path, 'model.json'), JSON.stringify({ format: 'layers-model', modelTopology: artifacts.modelTopology, weightsManifest }));
      return { modelArtifactsInfo: { dateSaved: new Date(0), modelTopologyType: 'JSON' as const } };
    }),
  );
  return join(path, 'model.json');
}

/** Softmax of the imported model's logits on random samples, and what tfjs-layers predicts. */
async function predictions(path: string, original: tfjs.LayersModel, spec: ModelPurpose): Promise<[Float32Array, Float32Array]> {
  const stage = stageModel(await createModel({ type: 'keras', path, weights: 'file' }, spec), 'all');
  const flat = initialParameters(stage, 1);
  const rng = createRng('keras predictions');
  const shape = [3, ...spec.inputShape];
  const values = Float32Array.from({ length: elementCount(shape) }, () => (spec.inputType === 'int32' ? rng.below(9) : rng.normal()));
  const [ours, theirs] = tf.tidy(() => {
    const x = tf.tensor(values, shape, spec.inputType);
    const parameters = stage.layout.slots.map((slot) => tf.tensor(flat.slice(slot.offset, slot.offset + slot.length), [...slot.shape]));
    return [tf.softmax(applyBlocks({ tf, ops: naiveOps(tf) }, stage, x, parameters)), original.predict(x) as tfjs.Tensor];
  });
  const result = [(await ours.data()) as Float32Array, (await theirs.data()) as Float32Array] as [Float32Array, Float32Array];
  tf.dispose([ours, theirs]);
  return result;
}

/** Random values in every weight: fresh ones leave norms and biases untested. */
function randomize(model: tfjs.LayersModel): tfjs.LayersModel {
  const rng = createRng('keras weights');
  model.setWeights(model.getWeights().map((weight) => tf.tensor(Float32Array.from({ length: weight.size }, () => 0.2 + 0.3 * rng.uniform()), weight.shape)));
  return model;
}

function convolutional(): tfjs.LayersModel {
  const { layers } = tf;
  const image = tf.input({ shape: [9, 9, 2] });
  const stem = layers.conv2d({ filters: 4, kernelSize: 3, strides: 2, padding: 'same', activation: 'relu' }).apply(image) as tfjs.SymbolicTensor;
  const normal = layers.batchNormalization({}).apply(stem) as tfjs.SymbolicTensor;
  const deep = layers.depthwiseConv2d({ kernelSize: 3, padding: 'same', useBias: true }).apply(layers.zeroPadding2d({ padding: [[1, 0], [0, 1]] }).apply(normal)) as tfjs.SymbolicTensor;
  const separable = layers.separableConv2d({ filters: 4, kernelSize: 2, padding: 'valid' }).apply(layers.leakyReLU({ alpha: 0.2 }).apply(deep)) as tfjs.SymbolicTensor;
  const sum = layers.add().apply([separable, normal]) as tfjs.SymbolicTensor;
  const both = layers.concatenate().apply([sum, layers.multiply().apply([sum, separable]) as tfjs.SymbolicTensor]) as tfjs.SymbolicTensor;
  const pooled = layers.globalAveragePooling2d({}).apply(layers.maxPooling2d({ poolSize: 2, padding: 'same' }).apply(both)) as tfjs.SymbolicTensor;
  const normed = layers.layerNormalization({}).apply(layers.dropout({ rate: 0.4 }).apply(pooled)) as tfjs.SymbolicTensor;
  return randomize(tf.model({ inputs: image, outputs: layers.dense({ units: 5, activation: 'softmax' }).apply(normed) as tfjs.SymbolicTensor }));
}

function sequential(): tfjs.LayersModel {
  const { layers } = tf;
  return randomize(
    tf.sequential({
      layers: [
        layers.embedding({ inputDim: 9, outputDim: 6, inputLength: 4 }),
        layers.permute({ dims: [2, 1] }),
        layers.dense({ units: 3, activation: 'tanh' }),
        layers.reshape({ targetShape: [9, 2] }),
        layers.globalAveragePooling1d(),
        layers.dense({ units: 8, activation: 'elu', useBias: false }),
        layers.activation({ activation: 'sigmoid' }),
        layers.dense({ units: 3 }),
        layers.softmax(),
      ],
    }),
  );
}

function expectSame([ours, theirs]: [Float32Array, Float32Array]): void {
  expect(ours.length).toBe(theirs.length);
  ours.forEach((value, i) => expect(value).toBeCloseTo(theirs[i], 5));
}

test('a functional convolutional model predicts as tfjs-layers does', async () => {
  const model = convolutional();
  expectSame(await predictions(await save(model, 'functional'), model, purpose([9, 9, 2], 5)));
});

test('a sequential model predicts as tfjs-layers does, each layer a block', async () => {
  const model = sequential();
  const path = await save(model, 'sequential');
  expectSame(await predictions(path, model, purpose([4], 3, 'int32')));
  const { blocks } = await createModel({ type: 'keras', path, weights: 'fresh' }, purpose([4], 3, 'int32'));
  expect(blocks).toHaveLength(9);
});

test('a graph is cut where one tensor crosses, and batch statistics are frozen', async () => {
  const { blocks } = await createModel({ type: 'keras', path: writeKerasModel(join(folder, 'cuts')), weights: 'file' }, purpose([8, 8, 2], 3));
  expect(blocks.map((block) => block.name)).toEqual(['conv', 'norm', 'relu6', 'depthwise..residual', 'pool', 'global', 'dropout', 'classes']);
  expect(blocks[1].parameters.map(({ name, trainable }) => [name, trainable])).toEqual([
    ['gamma', undefined],
    ['beta', undefined],
    ['moving_mean', false],
    ['moving_variance', false],
  ]);
});

test('eight-bit weights come back within half a step', async () => {
  const path = writeKerasModel(join(folder, 'quantized'));
  const { blocks } = await createModel({ type: 'keras', path, weights: 'file' }, purpose([8, 8, 2], 3));
  const init = blocks.find((block) => block.name === 'classes')!.parameters[0].init;
  const values = init.kind === 'values' ? [...init.values] : [];
  expect(values).toHaveLength(12);
  for (const value of values) expect(Math.abs((value + 2) / 0.02 - Math.round((value + 2) / 0.02))).toBeLessThan(1e-3);
});

test('the gradient of padded average pooling is its adjoint', async () => {
  const model = tf.sequential({ layers: [tf.layers.averagePooling2d({ poolSize: 3, strides: 2, padding: 'same', inputShape: [4, 5, 2] })] });
  const path = await save(model, 'pooling');
  const spec: ModelPurpose = { inputShape: [4, 5, 2], inputType: 'float32', targetShape: [2, 3, 2], targetType: 'float32', classes: undefined, loss: 'mean-squared-error' };
  const stage = stageModel(await createModel({ type: 'keras', path, weights: 'fresh' }, spec), 'all');
  const pool = (x: tfjs.Tensor): tfjs.Tensor => applyBlocks({ tf, ops: naiveOps(tf) }, stage, x, []);
  tf.tidy(() => {
    const [x, dy] = [tf.randomNormal([2, 4, 5, 2], 0, 1, 'float32', 1), tf.randomNormal([2, 2, 3, 2], 0, 1, 'float32', 2)];
    const theirs = (model.predict(x) as tfjs.Tensor).dataSync();
    pool(x).dataSync().forEach((value, i) => expect(value).toBeCloseTo(theirs[i], 6));
    const inner = (a: tfjs.Tensor, b: tfjs.Tensor): number => tf.sum(tf.mul(a, b)).dataSync()[0];
    expect(inner(pool(x), dy)).toBeCloseTo(inner(x, tf.grad(pool)(x, dy)), 4);
  });
});

test('half precision', () => {
  expect([0x3c00, 0xc000, 0x0001, 0x7bff, 0x8000].map(halfToFloat)).toEqual([1, -2, 2 ** -24, 65504, -0]);
  expect([halfToFloat(0x7c00), halfToFloat(0xfc00), halfToFloat(0x7e00)]).toEqual([Infinity, -Infinity, NaN]);
});

describe('errors', () => {
  const spec = purpose([8, 8, 2], 3);
  const load = (path: string): ReturnType<typeof createModel> => createModel({ type: 'keras', path, weights: 'file' }, spec);
  const changed = (name: string, change: (text: string) => string): string => {
    const path = writeKerasModel(join(folder, name));
    writeFileSync(path, change(readFileSync(path, 'utf8')));
    return path;
  };

  test('an unsupported layer is named with its class', async () => {
    const path = changed('lstm', (text) => text.replace('"AveragePooling2D"', '"ConvLSTM2D"'));
    await expect(load(path)).rejects.toMatchObject({ message: expect.stringContaining('layer pool has class ConvLSTM2D') as string, where: path });
  });

  test.each([
    ['an unknown activation', (text: string) => text.replace('"activation":"relu6"', '"activation":"sine"'), 'layer relu6 (Activation): activation sine is not supported'],
    ['channels first', (text: string) => text.replace('"pool_size"', '"data_format":"channels_first","pool_size"'), 'layer pool (AveragePooling2D): data_format channels_first'],
    ['no JSON', (text: string) => text.slice(0, 40), 'it is no JSON'],
    ['a graph model', (text: string) => text.replace('layers-model', 'graph-model'), 'it is no tf.LayersModel'],
    ['weights of another shape', (text: string) => text.replace('"units":3', '"units":4'), 'weights classes/kernel hold 12 values, the layer takes [4, 4]'],
    ['weights that are missing', (text: string) => text.replace('conv/bias', 'conv/other'), 'it has no weights conv/bias'],
  ])('%s', async (name, change, message) => {
    await expect(load(changed(name.replaceAll(' ', '-'), change))).rejects.toThrow(message);
  });

  test.each(['../secret.bin', '/etc/hostname', 'below/../../secret.bin', '..\\\\secret.bin'])('a weight file that is elsewhere: %s', async (name) => {
    writeFileSync(join(folder, 'secret.bin'), Buffer.alloc(4096));
    const path = changed('elsewhere', (text) => text.replace('group1-shard1of1.bin', name));
    await expect(load(path)).rejects.toMatchObject({ code: 'invalid-file', message: expect.stringContaining('is not beside it') as string, where: path });
  });

  test('a weight file that is missing or cut short', async () => {
    const path = writeKerasModel(join(folder, 'short'));
    const shard = join(folder, 'short', 'group2-shard1of1.bin');
    writeFileSync(shard, readFileSync(shard).subarray(0, 10));
    await expect(load(path)).rejects.toThrow('the weight files end inside depthwise/depthwise_kernel');
    rmSync(shard);
    await expect(load(path)).rejects.toMatchObject({ code: 'missing-file', where: shard });
  });
});
