import type { Job, LearningRateSchedule, OptimizerSpec } from '@longtail/core';
import { z } from 'zod';
import { dataSchema } from './data.js';
import { choice, duration, integer, name, oneOf, real, size } from './fields.js';
import { layoutProblems, layoutSchema, workersOf } from './layout.js';
import type { ModelDraft } from './model.js';
import { modelSchema } from './model.js';
import { stepsLocally, syncOf, syncSchema } from './sync.js';
import { parseByteSize } from './units.js';

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
      type: z.literal('muon').describe('Muon for matrices (Jordan et al. 2024), AdamW for the rest; for workers that take local steps'),
      momentum: real({ min: 0, max: 0.999_999 }).default(0.95).describe("Nesterov's, of the matrices"),
      beta1: adamFields.beta1,
      beta2: adamFields.beta2,
      epsilon: adamFields.epsilon,
      weightDecay: weightDecay.default(0.01).describe('Decoupled weight decay'),
    })
    .describe('Muon'),
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
  if (spec.type === 'muon') {
    const { momentum, ...adam } = spec;
    return { ...adam, type: 'adam', decoupled: true, muon: { momentum } };
  }
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
    .describe('Time between checkpoints: a server that dies costs the work since the last one'),
  keep: integer({ min: 1, max: 1000 }).default(2).describe('Checkpoints to keep, the newest'),
});

const record = z.strictObject({
  maxBytes: size('a size like 2GiB', parseByteSize).prefault('2GiB').describe('What it may take: a run that needs more is refused, and says how much'),
});

const jobFields = z.strictObject({
  name: name.optional().describe('Name of the job; default: name of the file'),
  data: dataSchema.describe('What to learn from'),
  model: modelSchema.describe('What to train'),
  loss: oneOf('loss', ['cross-entropy', 'mean-squared-error'])
    .optional()
    .describe('What to minimise; default: cross-entropy for labels and tokens, else mean-squared-error'),
  train: train.prefault({}).describe('The recipe'),
  validation: validation.prefault({}).describe('When to look how good the model is'),
  sync: syncSchema.prefault({}).describe('How workers and server exchange what they learn'),
  cluster: cluster.prefault({}).describe('What to run on'),
  checkpoint: checkpoint.prefault({}).describe('When to save'),
  record: record.optional().describe('Keep all contributions, so that `longtail replay` can compute the parameters again; default: none'),
});

/** The job file: what a user may write. Its output lacks the defaults that span fields (see `draftOf`). */
export const jobFileSchema = jobFields.check((context) => {
  const { sync, train: recipe, cluster: fleet } = context.value;
  if (sync.strategy === 'streaming-diloco' && fleet.layout?.some((stages) => stages.length > 1)) {
    const message = 'pipelines do not stream (sync.strategy streaming-diloco): give each worker the whole model, or choose diloco';
    context.issues.push({ code: 'custom', message, input: context.value, path: ['cluster', 'layout'] });
  }
  const { optimizer: spec } = recipe;
  if (stepsLocally(sync) || spec.type !== 'adam' || spec.muon === undefined) return;
  const message = `muon multiplies matrices, for which the server has no engine, and with sync.strategy ${sync.strategy} it takes the steps: choose diloco, or adamw`;
  context.issues.push({ code: 'custom', message, input: context.value, path: ['train', 'optimizer'] });
});

/** Fills in the defaults that depend on other fields. */
export function draftOf(file: z.output<typeof jobFileSchema>): JobDraft {
  const { optimizer: optimizerSpec, learningRate, maxSamples, clipNorm } = file.train;
  return {
    name: file.name ?? 'job',
    model: file.model,
    loss: file.loss,
    data: file.data,
    train: { ...file.train, maxSamples, clipNorm, learningRate: learningRate ?? (optimizerSpec.type === 'sgd' ? 0.05 : 0.001) },
    validation: { everyEpochs: file.validation.everyEpochs, maxSamples: file.validation.maxSamples },
    sync: syncOf(file.sync),
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
    checkpoint: { everyMs: file.checkpoint.every, keep: file.checkpoint.keep },
    ...(file.record && { record: file.record }),
  };
}
