import { expect, test } from 'vitest';
import { createModel } from './models/create.js';
import { profileModel } from './profile.js';

const images = { inputShape: [28, 28, 1], inputType: 'float32', targetShape: [], targetType: 'int32', classes: 10, loss: 'cross-entropy' } as const;

test('a dense layer: two FLOPs a weight', async () => {
  const model = await createModel({ type: 'mlp', input: 784, hidden: [512], outputs: 10 }, images);
  const { blocks, inputBytes } = profileModel('mlp', model);
  expect(inputBytes).toBe(4 * 784);
  expect(blocks[0]).toEqual({
    name: 'hidden0',
    parameters: 784 * 512 + 512,
    tied: [],
    forwardFlops: 2 * 784 * 512,
    backwardFlops: 4 * 784 * 512,
    outputBytes: 4 * 512,
    outputRow: 512,
    stashBytes: 4 * (784 + 512),
    cutAfter: true,
  });
  expect(blocks[1].cutAfter).toBe(false);
});

test('a convolution counts the pixels before pooling, a residual block both of its convolutions', async () => {
  const cnn = await createModel({ type: 'cnn', input: [28, 28, 1], channels: [32], kernel: 3, padding: 'same', pool: 'each', hidden: [], outputs: 10 }, images);
  expect(profileModel('cnn', cnn).blocks[0]).toMatchObject({ forwardFlops: 2 * 9 * 32 * 28 * 28, outputBytes: 4 * 14 * 14 * 32, outputRow: 32 });
  const resnet = await createModel({ type: 'resnet', input: [28, 28, 1], width: 16, depths: [1], outputs: 10 }, images);
  expect(profileModel('resnet', resnet).blocks[1]).toMatchObject({ forwardFlops: 2 * 2 * 9 * 16 * 16 * 28 * 28 });
});

test('GPT: the tied table stands in both of its blocks, attention grows with the square of the context', async () => {
  const spec = { type: 'gpt', vocabulary: 100, context: 8, width: 16, layers: 1, heads: 2, feedForward: 40 } as const;
  const tokens = { inputShape: [8], inputType: 'int32', targetShape: [8], targetType: 'int32', classes: 100, loss: 'cross-entropy' } as const;
  const [embedding, layer, head] = profileModel('gpt', await createModel(spec, tokens)).blocks;
  expect(embedding).toMatchObject({ parameters: 0, tied: [{ name: 'embedding.table', parameters: 1600 }], forwardFlops: 0 });
  expect(head).toMatchObject({ parameters: 16, tied: [{ name: 'embedding.table', parameters: 1600 }], forwardFlops: 2 * 8 * 16 * 100 });
  expect(layer).toMatchObject({ parameters: 2 * 16 + 4 * 256 + 3 * 640, forwardFlops: 2 * 8 * (4 * 256 + 3 * 640) + 4 * 64 * 16 });
});
