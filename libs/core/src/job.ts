import type { DataFile } from './data.js';
import type { EngineName } from './engine.js';
import type { LossName, ModelSpec } from './model.js';
import type { LearningRateSchedule, OptimizerSpec } from './optimizer.js';
import { hasErrorFeedback, type CodecName, type TopKSpec } from './codec.js';
import type { ScheduleName } from './schedule.js';
import type { SyncChoice } from './sync.js';

/** Where samples come from, as a job names it. */
export type DataSpec =
  | { readonly type: 'mnist' }
  /** Fashion-MNIST as IDX files (gzipped or not) in a folder. */
  | { readonly type: 'fashion-mnist'; readonly path: string }
  | { readonly type: 'gutenberg'; readonly tokenizer: TokenizerName; readonly sequence: number; readonly validationFraction: number }
  /** Text files by path or URL. */
  | {
      readonly type: 'text';
      readonly paths: readonly string[];
      readonly encoding: 'utf8' | 'latin1';
      readonly tokenizer: TokenizerName;
      readonly sequence: number;
      readonly validationFraction: number;
    }
  /** Tables by path or URL: one target column, the rest (or those named) are features, standardised; text columns become one-hot. */
  | {
      readonly type: 'csv' | 'parquet';
      readonly paths: readonly string[];
      readonly target: string;
      readonly features: readonly string[] | undefined;
      /** `classification` makes labels of the target column, `regression` numbers. */
      readonly task: 'classification' | 'regression';
      readonly validationFraction: number;
    };

export type TokenizerName = 'character' | 'byte' | 'gpt2';

/** A worker as a job names it: by its name, or by its number in the order of joining, from 1. */
export type JobWorker = string | number;

/** A stage as a job names it. */
export interface JobStage {
  /** Several are replicas of the stage; one that stands in several stages of a group holds all of these. */
  readonly workers: readonly JobWorker[];
  /** How many of the model's blocks, from where the stage before ends; undefined: all of them. */
  readonly blocks?: number;
}

/** Whether stages keep the inputs of passes only, and run forward again at backward. */
export type Recompute = 'never' | 'allowed' | 'always';

/** How contributions become steps; see docs/adr/0019-strategies.md. */
export type StrategyName = 'bsp' | 'ssp' | 'asp' | 'diloco' | 'sparse-diloco' | 'streaming-diloco';

/** `auto`: so many that an exchange is a small part of a round, as both are measured. */
export type LocalSteps = number | 'auto';

export interface OuterStep {
  readonly learningRate: number;
  readonly momentum: number;
}

/** A job, validated and with every default filled in. */
export interface Job {
  readonly name: string;
  readonly model: ModelSpec;
  readonly loss: LossName;
  readonly data: DataSpec;
  readonly train: {
    /** Passes over the training split; with `maxSamples` the earlier end counts. */
    readonly epochs: number;
    readonly maxSamples: number | undefined;
    /** Samples an optimizer step, over all workers. */
    readonly batch: number;
    readonly optimizer: OptimizerSpec;
    readonly learningRate: number;
    readonly schedule: LearningRateSchedule;
    /** Clip the mean gradient to this global norm. */
    readonly clipNorm: number | undefined;
    readonly seed: number;
  };
  readonly validation: {
    /** Evaluate each time this many epochs have been applied (fractions allowed), and at the end. */
    readonly everyEpochs: number;
    /** Samples of the validation split; undefined: all. */
    readonly maxSamples: number | undefined;
  };
  readonly sync: {
    /** `auto`: measured links and speeds decide when training begins. */
    readonly strategy: StrategyName | 'auto';
    /** Inner steps that the fastest group takes for itself between two exchanges, the others as many as they can in that time; not of `bsp`. @default of `diloco` and `streaming-diloco` 50, of `sparse-diloco` 100, else the server steps */
    readonly localSteps?: LocalSteps;
    /** Of local steps: samples of each. @default train.batch */
    readonly localBatch?: number;
    /** Of `streaming-diloco`: parts of the parameters that are exchanged in turn, each every `localSteps`. @default 4 */
    readonly fragments?: number;
    /** Of `streaming-diloco`: the part of the difference to the server's parameters that a worker keeps when these are mixed in. @default 0.5 */
    readonly mixing?: number;
    /** Of local steps: what makes a step of the groups' mean move, with Nesterov's momentum. @default 0.7 and 0.9 (DiLoCo's) */
    readonly outer?: OuterStep;
    /** Of `bsp` and all kinds of `diloco`: a round commits once this fraction of the groups has delivered … @default 1 */
    readonly quorum?: number;
    /** … and the others had this much time more. @default 0 */
    readonly graceMs?: number;
    /** Of `ssp`: tasks that a group may be ahead of the slowest one when it begins another. @default 2 */
    readonly staleness?: number;
    /** Of `ssp` and `asp`: a contribution e versions older than when all groups take turns weighs (1 + e)^−power. @default 0.5 */
    readonly stalenessPower?: number;
    /** A round's deadline as a multiple of its expected time, at least `minDeadlineMs`. */
    readonly deadlineFactor: number;
    readonly minDeadlineMs: number;
    /** Codec of what goes up; below 16 bits with error feedback at the worker. */
    readonly codec: CodecName;
    /** Codec of what comes down; below 16 bits of differences, with error feedback at the server. @default as `codec`, `int8` where that is below 16 bits */
    readonly downCodec?: CodecName;
    /** What `top-k` keeps, up and down. @default DEFAULT_TOP_K */
    readonly topK?: TopKSpec;
    /** Reject contributions whose mean gradient norm exceeds this; undefined: only non-finite ones. */
    readonly maxNorm: number | undefined;
    /** Codec of activations and their gradients between the stages of a pipeline. @default 'fp32' */
    readonly activationCodec?: CodecName;
  };
  readonly cluster: {
    /** Start when this many workers are ready. */
    readonly minWorkers: number;
    /** Fail when fewer than `minWorkers` came within this time. */
    readonly waitMs: number;
    /** Only workers on this engine; undefined: any. */
    readonly engine: EngineName | undefined;
    /** Groups of workers, each with its stages in order; undefined: whoever lays the job out decides. */
    readonly layout?: readonly (readonly JobStage[])[];
    /** Samples a forward pass of a pipeline; undefined: a quarter of a stage's share of the batch. */
    readonly microbatch?: number;
    /** @default 'capped-1f1b' */
    readonly schedule?: ScheduleName;
    /** Stages that keep the inputs of passes only, and run forward again at backward; `allowed`: those that lack the memory. @default 'allowed' */
    readonly recompute?: Recompute;
  };
  readonly checkpoint: {
    readonly everyMs: number;
    /** The newest so many stay. @default 2 */
    readonly keep?: number;
  };
  /** Keep all contributions, so that the parameters can be recomputed (`longtail replay`). @default nothing is kept */
  readonly record?: {
    /** That they may take: a run that is expected to need more is refused; where it comes to need more after all, the recording ends and the run goes on. */
    readonly maxBytes: number;
  };
  /** Files of the data by role and content, as the server found them at launch (`describeData`): workers find theirs by sha256. */
  readonly files?: readonly DataFile[];
}

/** The same for jobs whose models have the same blocks, as timed for one of them; empty for models from files, which may be others by now. */
export function modelKey({ model, loss }: Pick<Job, 'model' | 'loss'>): string {
  return model.type === 'keras' || model.type === 'module' ? '' : JSON.stringify([model, loss]);
}

/** Of a job with a model of its own in code: the file, by its content. */
export function moduleOf({ model, files = [] }: Job): DataFile | undefined {
  if (model.type !== 'module') return undefined;
  return files.find(({ name }) => name === `model/${model.path.replace(/^.*[/\\]/, '')}`);
}

/** Inner steps of the fastest group between two exchanges; undefined: the server steps, with the job's optimizer. */
export function localStepsOf({ strategy, localSteps }: Job['sync']): LocalSteps | undefined {
  if (strategy === 'diloco' || strategy === 'streaming-diloco') return localSteps ?? 50;
  if (strategy === 'sparse-diloco') return localSteps ?? 100;
  return strategy === 'bsp' || localSteps === undefined || localSteps === 1 ? undefined : localSteps;
}

/** Groups step for themselves, or will if `auto` chooses so. */
export function mayStepLocally(sync: Job['sync']): boolean {
  return sync.strategy === 'auto' || localStepsOf(sync) !== undefined;
}

/** Samples of a step: of all groups together, or of a group that steps for itself. */
export function stepBatchOf({ train, sync }: Pick<Job, 'train' | 'sync'>): number {
  return localStepsOf(sync) === undefined ? train.batch : (sync.localBatch ?? train.batch);
}

/** As it runs by what `sync: auto` chose. */
export function withSync(job: Job, choice: Pick<SyncChoice, 'strategy' | 'localSteps' | 'localBatch' | 'fragments' | 'codec' | 'downCodec'>): Job {
  const { strategy, localSteps, localBatch, fragments, codec, downCodec } = choice;
  return { ...job, sync: { ...job.sync, strategy, localSteps, localBatch, fragments, codec, downCodec } };
}

/** Parts of the parameters that are exchanged in turn, while workers step on; undefined: all are exchanged at once, between steps. */
export function fragmentsOf({ strategy, fragments = 4 }: Job['sync']): number | undefined {
  return strategy === 'streaming-diloco' ? fragments : undefined;
}

export function mixingOf({ mixing = 0.5 }: Job['sync']): number {
  return mixing;
}

export function outerStepOf({ outer = { learningRate: 0.7, momentum: 0.9 } }: Job['sync']): OuterStep {
  return outer;
}

/** What the server steps with: the job's optimizer, or where groups step for themselves the outer one. */
export function serverOptimizer({ sync, train }: Job): OptimizerSpec {
  if (localStepsOf(sync) === undefined) return train.optimizer;
  const { momentum } = outerStepOf(sync);
  return { type: 'sgd', momentum, nesterov: momentum > 0, weightDecay: 0 };
}

export function downCodecOf({ codec, downCodec }: Job['sync']): CodecName {
  return downCodec ?? (hasErrorFeedback(codec) ? 'int8' : codec);
}
