import type { ModelSpec } from '@longtail/core';
import { z } from 'zod';
import { choice, integer, oneOf } from './fields.js';

/** The sizes of a model that its data decide: a job may leave them out. */
type DataDependent = 'input' | 'outputs' | 'vocabulary' | 'context';

type Draft<Spec> = Spec extends unknown ? Omit<Spec, DataDependent> & Partial<Pick<Spec, Extract<keyof Spec, DataDependent>>> : never;

/** A model as a job file has it: the sizes that the data decide may be missing (see `resolveJob`). */
export type ModelDraft = Draft<ModelSpec>;

const SIZE = { min: 1, max: 1_048_576 };
const hidden = z.array(integer(SIZE)).default([128]).describe('Widths of the hidden fully connected layers, in order');
const outputs = integer(SIZE).optional().describe('Width of the output; default: the classes of the data, or the width of its targets');
const imageInput = z
  .tuple([integer(SIZE), integer(SIZE), integer({ min: 1, max: 4096 })])
  .readonly()
  .optional()
  .describe('Height, width and channels of an image; default: as the data have it');

const mlp = z
  .strictObject({
    type: z.literal('mlp').describe('Fully connected layers with ReLU'),
    input: integer({ min: 1, max: 16_777_216 }).optional().describe('Values of a sample; default: as the data have it'),
    hidden,
    outputs,
  })
  .describe('Multi-layer perceptron');

const cnn = z
  .strictObject({
    type: z.literal('cnn').describe('Convolutions with ReLU and max-pooling, then fully connected layers'),
    input: imageInput,
    channels: z
      .array(integer({ min: 1, max: 65_536 }))
      .min(1)
      .default([16, 32])
      .describe('Output channels of each convolution'),
    kernel: integer({ min: 1, max: 31 }).default(3).describe('Height and width of the convolution kernels'),
    padding: oneOf('padding', ['same', 'valid']).default('same').describe('`same` keeps height and width, `valid` shrinks them'),
    pool: oneOf('pooling', ['each', 'last']).default('each').describe('Max-pool 2×2 after each convolution, or once after the last'),
    hidden,
    outputs,
  })
  .describe('Convolutional network for images');

const resnet = z
  .strictObject({
    type: z.literal('resnet').describe('Residual network with group norm'),
    input: imageInput,
    width: integer({ min: 1, max: 65_536 })
      .default(16)
      .describe('Channels of the first group of blocks; doubled in each group that follows'),
    depths: z
      .array(integer({ min: 1, max: 1000 }))
      .min(1)
      .default([2, 2, 2])
      .describe('Residual blocks in each group'),
    outputs,
  })
  .describe('Residual network for images');

const gpt = z
  .strictObject({
    type: z.literal('gpt').describe('Decoder-only transformer: RMSNorm, rotary positions, SwiGLU, tied embeddings'),
    vocabulary: integer({ min: 2, max: 16_777_216 })
      .optional()
      .describe('Size of the vocabulary; default: as the tokenizer of the data has it'),
    context: integer({ min: 1, max: 1_048_576 }).optional().describe('Tokens a sample; default: as the data have it'),
    width: integer(SIZE).default(128).describe('Width of the residual stream; heads × an even number'),
    layers: integer({ min: 1, max: 1000 }).default(4).describe('Transformer layers'),
    heads: integer({ min: 1, max: 1024 }).default(4).describe('Attention heads'),
    feedForward: integer(SIZE).optional().describe('Inner width of SwiGLU; default: 8/3 × width, rounded up to a multiple of 8'),
  })
  .refine((model) => typeof model.width !== 'number' || model.width % (2 * model.heads) === 0, {
    path: ['heads'],
    error: ({ input }) => {
      const { width, heads } = input as { width: number; heads: number };
      return `a width of ${width} does not split into ${heads} heads of an even width (rotary positions turn pairs of values)`;
    },
  })
  .describe('GPT for token sequences');

const keras = z
  .strictObject({
    type: z.literal('keras').describe('A tf.LayersModel, as Keras exports it'),
    path: z.string().min(1).describe('model.json of the export; relative to this file'),
    weights: oneOf('source of weights', ['file', 'fresh'])
      .default('file')
      .describe('Start from the weights beside the file, or from fresh ones'),
  })
  .describe('Imported Keras model');

const module = z
  .strictObject({
    type: z.literal('module').describe('Blocks of your own'),
    path: z.string().min(1).describe('JavaScript or TypeScript module whose default export makes a list of blocks; relative to this file'),
    options: z.record(z.string(), z.unknown()).default({}).describe('Handed to the module as they are'),
  })
  .describe('Model from your own module; runs only on workers that joined with --allow-code');

/** The model section, in job files and on the wire. */
export const modelSchema = choice('model', [mlp, cnn, resnet, gpt, keras, module]).transform((model): ModelDraft =>
  model.type === 'gpt' ? { ...model, feedForward: model.feedForward ?? defaultFeedForward(model.width) } : model,
);

/** SwiGLU has three matrices where a plain feed-forward layer has two: 8/3 keeps the parameters of the usual factor 4 (Shazeer 2020). */
function defaultFeedForward(width: number): number {
  return Math.ceil((width * 8) / 3 / 8) * 8;
}
