import { DEFAULT_TOP_K, type CodecName, type Job, type StrategyName } from '@longtail/core';
import { z } from 'zod';
import { duration, integer, oneOf, real, SHORTHAND_NAMES } from './fields.js';

const STRATEGIES = ['bsp', 'ssp', 'asp', 'diloco', 'sparse-diloco', 'streaming-diloco', 'auto'] as const satisfies readonly (StrategyName | 'auto')[];
type Strategy = (typeof STRATEGIES)[number];

const outer = z.strictObject({
  learningRate: real({ above: 0, max: 10 }).default(0.7).describe("Of the step along the groups' mean move; 1 without momentum: their mean itself"),
  momentum: real({ min: 0, max: 0.999_999 }).default(0.9).describe("Nesterov's; 0: none"),
});

const CODECS = ['fp32', 'fp16', 'bf16', 'int8', 'int4', 'int2', 'sign', 'top-k'] as const satisfies readonly CodecName[];

const topK = z.strictObject({
  density: real({ above: 0, max: 1 }).default(DEFAULT_TOP_K.density).describe('The part of the values that is kept, of each block of 4096'),
  values: oneOf('value', ['fp16', 'int8', 'int2']).default(DEFAULT_TOP_K.values).describe('How a kept value travels'),
  selection: oneOf('value', ['exact', 'sampled'])
    .default(DEFAULT_TOP_K.selection)
    .describe('exact: the greatest of each block; sampled: what reaches a threshold that a sample gives, so that parts which moved further send more'),
});

const fields = z.strictObject({
  strategy: oneOf('strategy', STRATEGIES)
    .default('bsp')
    .describe(
      'How contributions become steps; bsp: every round waits for all, up to its deadline; ssp: each commits when it comes, and none runs further ahead than staleness; asp: the same without a bound; diloco: workers take localSteps for themselves between two rounds; sparse-diloco: the same, and the greatest values of how far they moved travel (SparseLoCo); streaming-diloco: the same as diloco in fragments, exchanged in turn while the workers step on; auto: bsp, or a kind of diloco with as few local steps and as many bits as hide the exchange behind compute, by measured links and speeds; both follow them',
    ),
  localSteps: z
    .union([z.literal('auto'), integer({ min: 1, max: 10_000 })], { error: ({ input }) => `must be auto or a whole number from 1 to 10000, found ${JSON.stringify(input)}` })
    .optional()
    .describe('Steps, each of localBatch samples, that the fastest worker takes for itself between two exchanges; the others take as many as they can in that time. auto: so many that an exchange is 5 % of a round, as both are measured, but no more than leave a run four rounds. Default: 50 with diloco and streaming-diloco, 100 with sparse-diloco, else none: the server steps'),
  localBatch: integer({ min: 1, max: 1_000_000 })
    .optional()
    .describe('With local steps: samples of each; default: train.batch, with auto its part of that: train.batch / groups'),
  outer: outer.optional().describe('With local steps: how the server steps along the mean of the moves'),
  fragments: integer({ min: 1, max: 64 })
    .optional()
    .describe('With streaming-diloco: parts of the parameters that are exchanged in turn, each every localSteps; default: 4'),
  mixing: real({ min: 0, max: 0.99 })
    .optional()
    .describe("With streaming-diloco: the part of the difference to the server's parameters that a worker keeps when these come; default: 0.5"),
  quorum: real({ above: 0, max: 1 }).optional().describe('With bsp, all kinds of diloco and auto: a round commits once this fraction of the groups has delivered, and the grace is over; default: 1'),
  grace: duration(0, 86_400_000).optional().describe('Time that the others have after the quorum; default: none'),
  staleness: integer({ min: 0, max: 1000 }).optional().describe('With ssp: tasks that a worker may be ahead of the slowest one when it begins another; default: 2'),
  stalenessPower: real({ min: 0, max: 10 })
    .optional()
    .describe('With ssp and asp: a contribution e versions older than when all take turns weighs (1 + e)^-stalenessPower; default: 0.5'),
  deadlineFactor: real({ min: 1, max: 1000 }).default(4).describe("A round's deadline as a multiple of its expected time"),
  minDeadline: duration(10, 86_400_000).prefault('3s').describe("A round's deadline is never shorter than this"),
  codec: oneOf('codec', CODECS)
    .optional()
    .describe('How contributions travel up; int8, int4, int2, sign (blocks that share a scale) and top-k with error feedback at the worker; default: fp32, of sparse-diloco top-k'),
  downCodec: oneOf('codec', CODECS)
    .optional()
    .describe('How parameters travel down; int8 and below as differences with error feedback at the server; default: as codec, int8 where that is below 16 bits'),
  topK: topK.optional().describe('What top-k keeps'),
  activationCodec: oneOf('codec', ['fp32', 'fp16', 'bf16', 'int8'])
    .default('fp32')
    .describe('How activations and their gradients travel between the stages of a pipeline; int8: with a scale a row (last axis)'),
  maxNorm: real({ above: 0 })
    .optional()
    .describe('Reject contributions whose mean gradient, or with local steps whose move, has a norm above this; default: only non-finite ones'),
});

type SyncFile = z.output<typeof fields>;

const NOT_AUTO: readonly Strategy[] = STRATEGIES.filter((strategy) => strategy !== 'auto');

/** Which strategies each field is for; the others are for all. */
const USED_BY: Partial<Record<keyof SyncFile, readonly Strategy[]>> = {
  localSteps: ['ssp', 'asp', 'diloco', 'sparse-diloco', 'streaming-diloco'],
  fragments: ['streaming-diloco'],
  mixing: ['streaming-diloco'],
  quorum: ['bsp', 'diloco', 'sparse-diloco', 'streaming-diloco', 'auto'],
  grace: ['bsp', 'diloco', 'sparse-diloco', 'streaming-diloco', 'auto'],
  staleness: ['ssp'],
  stalenessPower: ['ssp', 'asp'],
  codec: NOT_AUTO,
  downCodec: NOT_AUTO,
  topK: NOT_AUTO,
};

const checked = fields.check((context) => {
  const sync = context.value;
  const say = (message: string, field: string) => context.issues.push({ code: 'custom', message, input: sync, path: [field] });
  for (const [field, strategies] of Object.entries(USED_BY) as [keyof SyncFile, readonly Strategy[]][]) {
    if (sync[field] !== undefined && !strategies.includes(sync.strategy)) say(`is for the strategies ${strategies.join(', ')}, not for ${sync.strategy}`, field);
  }
  for (const field of ['outer', 'localBatch'] as const) {
    if (sync[field] !== undefined && !stepsLocally(sync)) say(`is for local steps: set localSteps, or the strategy diloco`, field);
  }
});

/** The bare name of a strategy will do. */
export const syncSchema = z
  .preprocess((value) => (typeof value === 'string' ? { strategy: value } : value), checked)
  .meta({ [SHORTHAND_NAMES]: STRATEGIES });

/** Now, or when `auto` chooses so. */
export function stepsLocally({ strategy, localSteps = 1 }: Pick<SyncFile, 'strategy' | 'localSteps'>): boolean {
  return strategy === 'auto' || strategy.endsWith('diloco') || localSteps !== 1;
}

export function syncOf({ minDeadline, grace, maxNorm, codec, ...rest }: SyncFile): Job['sync'] {
  const sparse = rest.strategy === 'sparse-diloco';
  return {
    ...rest,
    minDeadlineMs: minDeadline,
    maxNorm,
    codec: codec ?? (sparse ? 'top-k' : 'fp32'),
    ...(grace === undefined ? {} : { graceMs: grace }),
  };
}
