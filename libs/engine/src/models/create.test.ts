import type { DataSignature, ModelSpec } from '@longtail/core';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { blockShapes, stageModel } from '../stage-model.js';
import { initialParameters } from '../initialize.js';
import { createModel } from './create.js';

const CNN: Extract<ModelSpec, { type: 'cnn' }> = { type: 'cnn', input: [28, 28, 1], channels: [32, 64], kernel: 3, padding: 'valid', pool: 'last', hidden: [128], outputs: 10 };
const GPT: Extract<ModelSpec, { type: 'gpt' }> = { type: 'gpt', vocabulary: 64, context: 16, width: 8, layers: 2, heads: 2, feedForward: 24 };
const RESNET: ModelSpec = { type: 'resnet', input: [28, 28, 1], width: 16, depths: [1, 2], outputs: 10 };

function images(inputShape: readonly number[], classes = 10): DataSignature & { loss: 'cross-entropy' } {
  return { inputShape, inputType: 'float32', targetShape: [], targetType: 'int32', classes, loss: 'cross-entropy' };
}

function tokens(context: number, classes: number): DataSignature & { loss: 'cross-entropy' } {
  return { inputShape: [context], inputType: 'int32', targetShape: [context], targetType: 'int32', classes, loss: 'cross-entropy' };
}

function numbers(inputs: number, outputs: readonly number[]): DataSignature & { loss: 'mean-squared-error' } {
  return { inputShape: [inputs], inputType: 'float32', targetShape: outputs, targetType: 'float32', classes: undefined, loss: 'mean-squared-error' };
}

describe('shapes', () => {
  test('of a cnn', async () => {
    const model = await createModel(CNN, images([28, 28, 1]));
    expect(blockShapes(model)).toEqual([[28, 28, 1], [26, 26, 32], [12, 12, 64], [128], [10]]);
    expect(stageModel(model, 'all').layout.length).toBe(320 + 18_496 + 9216 * 128 + 128 + 1290);
  });

  test('of a resnet, halved and doubled from group to group', async () => {
    const model = await createModel(RESNET, images([28, 28, 1]));
    expect(blockShapes(model)).toEqual([[28, 28, 1], [28, 28, 16], [28, 28, 16], [14, 14, 32], [14, 14, 32], [10]]);
  });

  test('of a gpt, whose head has no table of its own', async () => {
    const model = await createModel(GPT, tokens(16, 64));
    const { layout } = stageModel(model, 'all');
    expect(layout.slots.map((slot) => slot.name).filter((name) => name.includes('table'))).toEqual(['embedding.table']);
    expect(layout.length).toBe(64 * 8 + 2 * (2 * 8 + 4 * 64 + 3 * 8 * 24) + 8);
  });

  test('of an mlp on images, flattened', async () => {
    const model = await createModel({ type: 'mlp', input: 784, hidden: [5], outputs: 10 }, images([28, 28, 1]));
    expect(blockShapes(model)).toEqual([[28, 28, 1], [5], [10]]);
  });
});

describe('what does not fit the data is refused with block and shapes', () => {
  test.each<[string, ModelSpec, Parameters<typeof createModel>[1], string]>([
    ['image size', CNN, images([32, 32, 3]), 'cnn expects images [28, 28, 1], the data has [32, 32, 3]'],
    ['context', GPT, tokens(32, 64), 'gpt expects tokens [16], the data has [32]'],
    ['mlp width', { type: 'mlp', input: 700, hidden: [], outputs: 10 }, images([28, 28, 1]), 'mlp expects inputs [700], the data has [28, 28, 1]'],
    ['vocabulary', GPT, tokens(16, 100), 'gpt: block head tells 64 classes apart, the data has 100'],
    ['classes', { ...CNN, outputs: 5 }, images([28, 28, 1]), 'cnn: block output tells 5 classes apart, the data has 10'],
    ['kind of input', { type: 'mlp', input: 16, hidden: [], outputs: 64 }, tokens(16, 64), 'mlp expects float32 inputs, the data has int32'],
    ['kind of loss', { type: 'mlp', input: 4, hidden: [], outputs: 1 }, { ...numbers(4, [1]), loss: 'cross-entropy' }, 'cross-entropy needs labels, the data has numbers as targets'],
    ['labels as numbers', { type: 'mlp', input: 4, hidden: [], outputs: 1 }, { ...images([4]), loss: 'mean-squared-error' }, 'mean-squared-error compares float32 targets, the data has int32 labels'],
    ['regression outputs', { type: 'mlp', input: 4, hidden: [], outputs: 3 }, numbers(4, [2]), 'mlp: block output puts out [3], the targets are [2]'],
    ['heads', { ...GPT, heads: 3 }, tokens(16, 64), 'gpt: width 8 does not split into 3 heads of even width'],
    ['depth', { ...CNN, channels: [4, 4, 4, 4, 4], pool: 'each' }, images([28, 28, 1]), 'block convolution3: its input [1, 1, 4] is too small'],
  ])('%s', async (_, spec, purpose, message) => {
    await expect(createModel(spec, purpose)).rejects.toThrow(message);
  });

  test('a column of one value is a scalar', async () => {
    await expect(createModel({ type: 'mlp', input: 4, hidden: [], outputs: 1 }, numbers(4, []))).resolves.toBeDefined();
  });
});

describe('initial parameters', () => {
  test('do not depend on where the model is cut', async () => {
    const model = await createModel(GPT, tokens(16, 64));
    const whole = stageModel(model, 'all');
    fc.assert(
      fc.property(fc.integer(), fc.integer({ min: 0, max: 3 }), fc.integer({ min: 1, max: 4 }), (seed, start, length) => {
        const part = stageModel(model, { start, end: Math.min(4, start + length) });
        const [flat, values] = [initialParameters(whole, seed), initialParameters(part, seed)];
        for (const slot of part.layout.slots) {
          const { offset } = whole.layout.slots.find(({ name }) => name === slot.name)!;
          expect(values.subarray(slot.offset, slot.offset + slot.length)).toEqual(flat.subarray(offset, offset + slot.length));
        }
      }),
      { numRuns: 20 },
    );
  });

  test('have the deviations of the papers', async () => {
    const { layout, ...stage } = stageModel(await createModel(CNN, images([28, 28, 1])), 'all');
    const flat = initialParameters({ layout, ...stage }, 5);
    const deviation = (name: string): number => {
      const { offset, length } = layout.slots.find((slot) => slot.name === name)!;
      return Math.sqrt(flat.subarray(offset, offset + length).reduce((sum, x) => sum + x * x, 0) / length);
    };
    expect(deviation('hidden0.weights')).toBeCloseTo(Math.sqrt(2 / 9216), 4);
    expect(deviation('convolution1.kernel')).toBeCloseTo(Math.sqrt(2 / 288), 2);
    expect(deviation('hidden0.bias')).toBe(0);
  });

  test('differ from seed to seed', async () => {
    const stage = stageModel(await createModel(GPT, tokens(16, 64)), 'all');
    expect(initialParameters(stage, 1)).not.toEqual(initialParameters(stage, 2));
  });
});

test('a stage with the head alone has the tied table in its layout, under the name of its owner', async () => {
  const model = await createModel(GPT, tokens(16, 64));
  expect(stageModel(model, { start: 3, end: 4 }).layout.slots.map((slot) => slot.name)).toEqual(['head.norm', 'embedding.table']);
});
