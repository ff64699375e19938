import type {
  BackwardResult,
  BatchStats,
  BlockRange,
  DeviceSpeed,
  DeviceTimings,
  ComputeResult,
  DeviceInfo,
  ForwardResult,
  HostTensor,
  Job,
  LocalStepsRequest,
  ParameterLayout,
  SampleRange,
  Split,
  StageUse,
  StepHyper,
  VectorRange,
  WireError,
} from '@longtail/core';
import type { Mechanism } from '../confined/sandbox.js';
import type { SharedVectors } from './training-session.js';

/** What the event loop asks of the compute thread: core's `Compute`, without what cannot cross threads. */
export interface ComputeCalls {
  prepare(job: Job, files: ReadonlyMap<string, string>, stages: readonly BlockRange[] | 'all', use: StageUse | undefined): PreparedTransfer;
  initialParameters(): void;
  loadParameters(): void;
  loadState(steps: number): void;
  gradient(ranges: readonly SampleRange[]): ComputeResult;
  localSteps(request: Omit<LocalStepsRequest, 'stop'>): ComputeResult & { steps: number };
  /** Into the vector, and what it has to the parameters. */
  readParts(vector: SharedArrayBuffer, parts: readonly VectorRange[]): void;
  addParts(vector: SharedArrayBuffer, parts: readonly VectorRange[]): void;
  evaluate(split: Split, start: number, end: number): ComputeResult;
  forward(stage: number, microbatch: number, ranges: readonly SampleRange[], input: HostTensor | undefined): ForwardResult;
  backward(op: 'B' | 'I' | 'W', stage: number, microbatch: number, outputGradient: HostTensor | undefined): BackwardResult;
  takeGradient(): { readonly samples: number };
  stepStages(samples: number, hyper: StepHyper): { readonly computeMs: number };
  takeMove(): void;
  dropPasses(): void;
  evaluateStage(stage: number, split: Split, start: number, end: number, input: HostTensor | undefined): ForwardResult;
  profile(job: Job, files: ReadonlyMap<string, string>, microbatches: readonly number[]): Omit<DeviceTimings, 'handOverMs'>;
  /** A pass that computes nothing: rests and gives its input back. */
  echo(input: HostTensor, restMs: number): { readonly output: HostTensor; readonly computeMs: number };
  release(): void;
}

export type CallName = keyof ComputeCalls;

/** core's `Prepared`; the vectors cross as the memory below them. */
export interface PreparedTransfer {
  readonly layouts: readonly ParameterLayout[];
  readonly memoryBytes: number;
  readonly samplesPerSecond: number;
  readonly trainSamples: number;
  readonly validationSamples: number;
  readonly blocks: number;
  readonly shared: SharedVectors;
}

/** To the thread, which answers one after the other. */
export type ComputeRequest = {
  readonly [Name in CallName]: { readonly call: Name; readonly args: Parameters<ComputeCalls[Name]> };
}[CallName];

/** From the thread: `opened` or `failed` first, then for each request any progress and one answer. */
export type ComputeReply =
  | { readonly kind: 'opened'; readonly device: DeviceInfo; readonly choice: string }
  /** Steps done and their sums, or blocks done and how many there are. */
  | { readonly kind: 'progress'; readonly done: number; readonly of: BatchStats | number }
  | { readonly kind: 'result'; readonly value: unknown }
  | { readonly kind: 'aborted' }
  | { readonly kind: 'failed'; readonly error: WireError };

/** What the thread is started with. */
export interface ComputeThreadOptions {
  readonly engine: EngineChoice;
  /** Fraction of the device's speed to work at. */
  readonly pace: number;
  /** What it emulates, with real arithmetic; undefined: it is what it is. */
  readonly emulated?: DeviceSpeed | undefined;
  /** Memory the owner allows; undefined: all of the machine's. */
  readonly memoryBytes: number | undefined;
  readonly threads: number | undefined;
  readonly modules: ModulePolicy;
}

/** What becomes of a job's own module: it is refused, runs here, or runs behind walls of this kind. */
export type ModulePolicy = 'refused' | 'trusted' | Mechanism;

export type EngineChoice = DeviceInfo['engine'] | 'auto';
