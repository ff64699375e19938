import type { DataSignature } from '@longtail/core';
import { describe, expect, it } from 'vitest';
import { validateJob } from './parse.js';
import { resolveJob } from './resolve.js';

const IMAGES: DataSignature = { inputShape: [28, 28, 1], inputType: 'float32', targetShape: [], targetType: 'int32', classes: 10 };
const TEXT: DataSignature = { inputShape: [64], inputType: 'int32', targetShape: [64], targetType: 'int32', classes: 96 };
const NUMBERS: DataSignature = { inputShape: [7], inputType: 'float32', targetShape: [2], targetType: 'float32', classes: undefined };

const resolved = (model: unknown, data: DataSignature, rest = {}) => resolveJob(validateJob({ data: 'mnist', model, ...rest }), data);

describe('resolveJob', () => {
  it('takes the sizes of the data', () => {
    expect(resolved('cnn', IMAGES)).toMatchObject({ model: { input: [28, 28, 1], outputs: 10 }, loss: 'cross-entropy' });
    expect(resolved('resnet', IMAGES)).toMatchObject({ model: { input: [28, 28, 1], outputs: 10 } });
    expect(resolved('mlp', IMAGES)).toMatchObject({ model: { input: 784, outputs: 10 } });
    expect(resolved('mlp', NUMBERS)).toMatchObject({ model: { input: 7, outputs: 2 }, loss: 'mean-squared-error' });
    expect(resolved('gpt', TEXT)).toMatchObject({ model: { vocabulary: 96, context: 64, feedForward: 344 }, loss: 'cross-entropy' });
  });

  it('lets a vocabulary have room to spare', () => {
    expect(resolved({ type: 'gpt', vocabulary: 128 }, TEXT).model).toMatchObject({ vocabulary: 128 });
  });

  it.each([
    ['model.outputs', { type: 'cnn', outputs: 9 }, IMAGES, {}],
    ['model.input', { type: 'cnn', input: [32, 32, 3] }, IMAGES, {}],
    ['model.input', { type: 'mlp', input: 100 }, IMAGES, {}],
    ['model.context', { type: 'gpt', context: 32 }, TEXT, {}],
    ['model.type', 'gpt', IMAGES, {}],
    ['model.type', 'cnn', NUMBERS, {}],
    ['model.type', 'mlp', TEXT, {}],
    ['loss', 'mlp', NUMBERS, { loss: 'cross-entropy' }],
    ['loss', 'mlp', IMAGES, { loss: 'mean-squared-error' }],
  ])('says %s when a job and its data disagree', (where, model, data, rest) => {
    expect(() => resolved(model, data, rest)).toThrow(expect.objectContaining({ code: 'invalid-file', where, hint: expect.any(String) }));
  });
});
