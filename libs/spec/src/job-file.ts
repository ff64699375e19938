import { DEFAULT_TOP_K, type Job, type LearningRateSchedule, type OptimizerSpec } from '@longtail/core';
import { z } from 'zod';
import { dataSchema } from './data.js';
import { choice, duration, integer, oneOf, real } from './fields.js';
import { layoutProblems, layoutSchema, workersOf } from './layout.js';
import type { ModelDraft } from './model.js';
import { modelSchema } from './model.js';

/**
 * A job as its file says it, every default filled in but those that the data decide: sizes of the model, and the loss.
 * `resolveJob` makes a `Job` of it once the data set is open.
 */
export type JobDraft = Omit<Job, 'model' | 'loss'> & { readonly model: ModelDraft; readonly loss: Job['loss'] | undefined };

const adamFields = {
  beta1: real({ min: 0, max: 0.999_999 }).default(0.9).describe('Decay of the first moment'),
  beta2: real({ min: 0, max: 0.999_999_9 }).default(0.999).describe('Decay of the second moment'),
  epsilon: real({ above: 0, max: 1 }).default(1e-8).describe('Added to the denominator'),
  stateBits: z
    .literal([8, 32], { error: ({ input }) => `must be 8 or 32, found ${JSON.stringify(input)}` })
    .default(32)
    .describe('Bits of a value of the moments; 8: block by block (Dettmers et al. 2022), 2 bytes a parameter for 8, and the server takes every step'),
};

const weightDecay = real({ min: 0, max: 1 });

const optimizer = choice('optimizer', [
  z
    .strictObject({
      type: z.literal('adam').describe('Adam (Kingma & Ba 2015)'),
      ...adamFields,
      weightDecay: weightDecay.default(0).describe('L2 penalty, added to the gradient'),
    })
    .describe('Adam'),
  z
    .strictObject({
      type: z.literal('adamw').describe('Adam with decoupled weight decay (Loshchilov & Hutter 2019)'),
      ...adamFields,
      weightDecay: weightDecay.default(0.01).describe('Decoupled weight decay'),
    })
    .describe('AdamW'),
  z
    .strictObject({
      type: z.literal('sgd').describe('Stochastic gradient descent'),
      momentum: real({ min: 0, max: 0.999_999 }).default(0).describe('Momentum; 0: none'),
      nesterov: z.boolean().default(false).describe('Nesterov momentum'),
      weightDecay: weightDecay.default(0).describe('L2 penalty, added to the gradient'),
    })
    .describe('SGD'),
]).transform((spec): OptimizerSpec => {
  if (spec.type === 'sgd') return spec;
  return { ...spec, type: 'adam', decoupled: spec.type === 'adamw' };
});

const decayFields = {
  warmup: real({ min: 0, max: 1 }).default(0).describe('Fraction of the run in which the rate rises from 0'),
  floor: real({ min: 0, max: 1 }).default(0).describe('Where the rate ends, as a fraction of learningRate'),
};

const schedule = choice('schedule', [
  z.strictObject({ type: z.literal('constant').describe('The same rate throughout') }).describe('Constant'),
  z
    .strictObject({ type: z.literal('cosine').describe('Half a cosine from learningRate down to the floor'), ...decayFields })
    .describe('Cosine'),
  z.strictObject({ type: z.literal('linear').describe('A line from learningRate down to the floor'), ...decayFields }).describe('Linear'),
]).transform((spec): LearningRateSchedule => spec);

const train = z.strictObject({
  epochs: integer({ min: 1, max: 100_000 }).default(1).describe('Passes over the training split'),
  maxSamples: integer({ min: 1 }).optional().describe('End after this many samples, where that is earlier than the epochs'),
  batch: integer({ min: 1, max: 1_048_576 }).default(128).describe('Samples an optimizer step, over all workers together'),
  optimizer: optimizer.prefault('adam').describe('What makes a step of a gradient'),
  learningRate: real({ above: 0, max: 1000 }).optional().describe('Base learning rate; default: 0.001 for adam and adamw, 0.05 for sgd'),
  schedule: schedule.prefault('constant').describe('How the learning rate changes over the run'),
  clipNorm: real({ above: 0 }).optional().describe('Clip the mean gradient to this global norm; default: no clipping'),
  seed: integer({ min: 0, max: 4_294_967_295 }).default(0).describe('Decides fresh parameters and the order of the samples'),
});

const validation = z.strictObject({
  everyEpochs: real({ above: 0, max: 100_000 })
    .default(1)
    .describe('Evaluate each time this many epochs have been applied (fractions will do), and at the end'),
  maxSamples: integer({ min: 1 }).optional().describe('Samples of the validation split to look at; default: all'),
});

const CODECS = ['fp32', 'fp16', 'bf16', 'int8', 'int4', 'int2', 'sign', 'top-k'] as const;

const topK = z.strictObject({
  density: real({ above: 0, max: 1 }).default(DEFAULT_TOP_K.density).describe('The part of the values that is kept, of each block of 4096'),
  values: oneOf('value', ['fp16', 'int8', 'int2']).default(DEFAULT_TOP_K.values).describe('How a kept value travels'),
  selection: oneOf('value', ['exact', 'sampled'])
    .default(DEFAULT_TOP_K.selection)
    .describe('exact: the greatest of each block; sampled: what reaches a threshold that a sample gives, so that parts which moved further send more'),
});

const sync = z.strictObject({
  strategy: oneOf('strategy', ['bsp'])
    .default('bsp')
    .describe('How contributions become steps; bsp: every round waits for all, up to its deadline'),
  deadlineFactor: real({ min: 1, max: 1000 }).default(4).describe("A round's deadline as a multiple of its expected time"),
  minDeadline: duration(10, 86_400_000).prefault('3s').describe("A round's deadline is never shorter than this"),
  codec: oneOf('codec', CODECS)
    .default('fp32')
    .describe('How contributions travel up; int8, int4, int2, sign (blocks that share a scale) and top-k with error feedback at the worker'),
  downCodec: oneOf('codec', CODECS)
    .optional()
    .describe('How parameters travel down; int8 and below as differences with error feedback at the server; default: as codec, int8 where that is below 16 bits'),
  topK: topK.optional().describe('What top-k keeps'),
  activationCodec: oneOf('codec', ['fp32', 'fp16', 'bf16', 'int8'])
    .default('fp32')
    .describe('How activations and their gradients travel between the stages of a pipeline; int8: with a scale a row (last axis)'),
  maxNorm: real({ above: 0 })
    .optional()
    .describe('Reject contributions whose mean gradient norm exceeds this; default: only non-finite ones'),
});

const clusterFields = z.strictObject({
  minWorkers: integer({ min: 1, max: 100_000 }).default(1).describe('Start when this many workers are ready'),
  wait: duration(0, 7 * 86_400_000)
    .prefault('60s')
    .describe('Fail when fewer than minWorkers came within this time'),
  engine: oneOf('engine', ['auto', 'tensorflow', 'webgpu', 'wasm', 'cpu'])
    .default('auto')
    .describe('Only workers on this engine; auto: any'),
  layout: layoutSchema
    .optional()
    .describe('Groups of workers that hold one replica each, with their stages in the order of the blocks; default: every worker solo where all hold the model, else what the planner finds best'),
  microbatch: integer({ min: 1, max: 1_048_576 })
    .optional()
    .describe("Samples a forward pass of a pipeline; default: what the planner finds best, in a layout of your own a quarter of a stage's share of the batch"),
  schedule: oneOf('schedule', ['gpipe', '1f1b', 'capped-1f1b', 'interleaved', 'zero-bubble'])
    .default('capped-1f1b')
    .describe('Order of the passes in a pipeline; interleaved: several stages on each worker, in turn, where the planner finds that faster or the layout says so'),
  recompute: oneOf('value', ['never', 'allowed', 'always'])
    .default('allowed')
    .describe('Stages that keep the inputs of passes only and compute the rest again in the backward pass; allowed: those that lack the memory'),
});

const cluster = clusterFields.check((context) => {
  const { layout: groups, schedule: order } = context.value;
  const say = (message: string, ...path: (string | number)[]) => context.issues.push({ code: 'custom', message, input: context.value, path });
  for (const { message, group, stage } of layoutProblems(groups ?? [], order)) say(message, 'layout', group, ...(stage === undefined ? [] : [stage]));
});

const checkpoint = z.strictObject({
  every: duration(100, 7 * 86_400_000)
    .prefault('30s')
    .describe('Time between checkpoints'),
});

/** The job file: what a user may write. Its output lacks the defaults that span fields (see `draftOf`). */
export const jobFileSchema = z.strictObject({
  name: z
    .string()
    .min(1)
    .max(100)
    .regex(/^[\w][\w .-]*$/, {
      error: ({ input }) =>
        `must begin with a letter or digit and hold only letters, digits, blanks and . _ -, found ${JSON.stringify(input)}`,
    })
    .optional()
    .describe('Name of the job; default: name of the file'),
  data: dataSchema.describe('What to learn from'),
  model: modelSchema.describe('What to train'),
  loss: oneOf('loss', ['cross-entropy', 'mean-squared-error'])
    .optional()
    .describe('What to minimise; default: cross-entropy for labels and tokens, else mean-squared-error'),
  train: train.prefault({}).describe('The recipe'),
  validation: validation.prefault({}).describe('When to look how good the model is'),
  sync: sync.prefault({}).describe('How workers and server exchange what they learn'),
  cluster: cluster.prefault({}).describe('What to run on'),
  checkpoint: checkpoint.prefault({}).describe('When to save'),
});

/** Fills in the defaults that depend on other fields. */
export function draftOf(file: z.output<typeof jobFileSchema>): JobDraft {
  const { optimizer: optimizerSpec, learningRate, maxSamples, clipNorm } = file.train;
  const { minDeadline, maxNorm, ...syncRest } = file.sync;
  return {
    name: file.name ?? 'job',
    model: file.model,
    loss: file.loss,
    data: file.data,
    train: { ...file.train, maxSamples, clipNorm, learningRate: learningRate ?? (optimizerSpec.type === 'sgd' ? 0.05 : 0.001) },
    validation: { everyEpochs: file.validation.everyEpochs, maxSamples: file.validation.maxSamples },
    sync: { ...syncRest, minDeadlineMs: minDeadline, maxNorm },
    cluster: {
      // A layout is begun whole.
      minWorkers: Math.max(file.cluster.minWorkers, new Set(file.cluster.layout?.flat().flatMap(workersOf)).size),
      waitMs: file.cluster.wait,
      engine: file.cluster.engine === 'auto' ? undefined : file.cluster.engine,
      layout: file.cluster.layout?.map((stages) => stages.map((stage) => ({ workers: workersOf(stage), blocks: stage.blocks }))),
      microbatch: file.cluster.microbatch,
      schedule: file.cluster.schedule,
      recompute: file.cluster.recompute,
    },
    checkpoint: { everyMs: file.checkpoint.every },
  };
}
