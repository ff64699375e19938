import type { SampleRange, Split } from './data.js';
import type { BatchStats, EngineName } from './engine.js';
import type { Job } from './job.js';
import type { BlockRange, ParameterLayout } from './model.js';
import type { StepHyper } from './optimizer.js';
import type { HostTensor, VectorRange } from './tensor.js';
import type { Loan } from './transport.js';

/** What a node is, as it says so itself on joining. */
export interface DeviceInfo {
  readonly engine: EngineName;
  /** For people: `TensorFlow 2.21.0, AMD EPYC, 1 thread`. */
  readonly description: string;
  readonly memoryBytes: number;
  /** Effective fp32 GFLOP/s of a matrix product, paced like everything else; 0 where nobody measured. */
  readonly gflops: number;
  /** Fraction of the device's speed it works at, 1 = unthrottled. */
  readonly throttle: number;
}

/** How a worker's stages will be used, which decides what memory they need. */
export interface StageUse {
  /** Samples of the largest microbatch. */
  readonly microbatch: number;
  /** Most microbatches between their forward and the end of their backward pass at any moment, over all stages. */
  readonly inFlight: number;
  /** Keep a microbatch's input only, and run forward again at backward. */
  readonly recompute: boolean;
}

/** A model built, its data at hand, and its speed measured. */
export interface Prepared {
  /** Of each stage that it holds, in order, or of the whole model: its vectors are laid out as `joinLayouts` of these. */
  readonly layouts: readonly ParameterLayout[];
  readonly engine: EngineName;
  /** What the model takes here: of a stage counted from a real pass, of a whole model from shapes. */
  readonly memoryBytes: number;
  readonly samplesPerSecond: number;
  /** Training samples an epoch, and validation samples; 0 at a stage that reads no data. */
  readonly trainSamples: number;
  readonly validationSamples: number;
  /** Blocks of the whole model, of which a stage has some; undefined where nobody counted. */
  readonly blocks?: number | undefined;
  /** Parameters live here; whoever fills it calls `loadParameters` afterwards. */
  readonly parameters: Float32Array;
  /** `gradient` leaves the gradient sum here, `localSteps` a move. */
  readonly gradient: Float32Array;
  /** Of `gradient` as it is now: while it is held, the next result comes to lie elsewhere. @default results lie where they did */
  readonly gradientLoan?: Loan | undefined;
  /** `localSteps` leaves the optimizer's moments here; `loadState` takes them from here. None where the moments never leave the device. */
  readonly state: readonly Float32Array[];
}

export interface ComputeResult extends BatchStats {
  /** Time the device was at work, pauses of a throttle included. */
  readonly computeMs: number;
  /** Of that: what the engine prepared for batches of sizes that it had not met, which the next one does not pay. @default 0 */
  readonly prepareMs?: number;
}

export interface LocalStepsRequest {
  /** One optimizer step a batch; each batch is the ranges that make it up. */
  readonly batches: readonly { readonly ranges: readonly SampleRange[]; readonly hyper: StepHyper }[];
  /**
   * What is left in `Prepared`: the new parameters and moments, or as `gradient` how far the parameters moved, base − new, or
   * nothing. With the latter two `parameters` keeps the base, and moments stay on the device, where later calls go on with them.
   */
  readonly result: LocalStepsResult;
  /** Once aborted, the step under way is the last: the call resolves with the steps done so far. */
  readonly stop: AbortSignal;
}

export type LocalStepsResult = 'parameters' | 'move' | 'nothing';

/** A stage's forward pass of one microbatch. */
export interface ForwardResult {
  /** For the next stage; undefined at the last. */
  readonly output: HostTensor | undefined;
  /** At the last stage: loss and hits of the microbatch. */
  readonly stats: BatchStats | undefined;
  readonly computeMs: number;
}

/** A stage's backward pass of one microbatch, or half of it. */
export interface BackwardResult {
  /** For the stage before; undefined at the first, and after `W`. */
  readonly inputGradient: HostTensor | undefined;
  readonly computeMs: number;
}

/** What one block costs a device, measured. */
export interface BlockTiming {
  readonly block: string;
  readonly microbatch: number;
  readonly forwardMs: number;
  /** Both halves together. */
  readonly backwardMs: number;
  /** The half that the gradient of the block's input takes. */
  readonly inputGradientMs: number;
  /** What the device holds of a microbatch between forward and backward. */
  readonly stashBytes: number;
  /** The parts of `forwardMs` and `backwardMs` that a stage of several blocks pays once: the engine's call, and what crosses into it. */
  readonly forwardCallMs: number;
  readonly backwardCallMs: number;
  /** What both passes take longer where only the input is kept between them; 0: not measured. */
  readonly recomputeMs: number;
}

export interface DeviceTimings {
  /** Blocks that could be measured, each at every size for which there is room. */
  readonly timings: readonly BlockTiming[];
  /** Blocks of the model for which the node does not offer the memory, at any size. */
  readonly untimed: number;
  /** For how long the device stands still between two passes that have their inputs, at any pace. */
  readonly handOverMs: number;
  /** Nothing was measured now: all of it was known. */
  readonly cached: boolean;
}

/**
 * The device of a worker: model, data and arithmetic. It computes beside the event loop; calls run one after the other,
 * in the order in which they came. After an abort the state is that before the call.
 */
export interface Compute {
  readonly device: DeviceInfo;
  /**
   * Builds the job's model or stages of it, loads the data that these read, warms up and measures. `files` maps sha256 to a
   * local path. Stages are measured with microbatches as in `use`, by default 16 samples, one in flight, no recompute.
   * Throws LongtailError `refused` when that needs more memory than the owner offered.
   */
  prepare(
    job: Job,
    files: ReadonlyMap<string, string>,
    stages: readonly BlockRange[] | 'all',
    signal: AbortSignal,
    use?: StageUse,
  ): Promise<Prepared>;
  /** Fresh parameters from the job's seed into `Prepared.parameters`. */
  initialParameters(): Promise<void>;
  /** Without a promise it has them now. */
  loadParameters(): Promise<void> | void;
  /** The same from memory that is held until others are loaded, and is read where it is; loans are the same where values are. @default only from `Prepared.parameters` */
  loadLent?(parameters: Float32Array, loan: Loan): Promise<void> | void;
  loadState(steps: number): Promise<void>;
  /** Gradient sum over the samples, left in `Prepared.gradient`. */
  gradient(ranges: readonly SampleRange[], signal: AbortSignal): Promise<ComputeResult>;
  /** Optimizer steps on the device. After an abort moments may be those of steps that nobody will see, where `result` is a move, and parameters too, where it is nothing. `onStep` reports progress, not every step: sums over the steps done so far. */
  localSteps(request: LocalStepsRequest, onStep: (done: number, stats: BatchStats) => void, signal: AbortSignal): Promise<ComputeResult & { steps: number }>;
  /** Begins a stream of local steps at `Prepared.parameters`: what they move is counted from there. */
  startStream(): Promise<void>;
  /**
   * Leaves in these parts of `Prepared.gradient` how far the parameters moved since they were taken, mixed or the stream began:
   * before − now. The next call may be given before it is done; no mix may be prepared and not applied.
   */
  takeStreamMove(parts: readonly VectorRange[]): Promise<void>;
  /**
   * Works out, beside a call under way, what lets these parts of the stream, which have no value in common, go on from `Prepared.parameters`, together with what
   * they moved since they were taken; `mixing` is the part of the difference to that which the device keeps.
   */
  prepareMix(parts: readonly VectorRange[], mixing: number): Promise<void>;
  /** Lets the stream go on from what was prepared. The next call may be given before it is done. */
  applyMix(): Promise<void>;
  /** Loss and accuracy over samples [start, end) of a split, in index order. */
  evaluate(split: Split, start: number, end: number, signal: AbortSignal): Promise<ComputeResult>;

  // Stages of a pipeline, microbatch by microbatch; `stage` counts those that were prepared, from 0. A tensor given to the device is its own from then on (its memory
  // may move to another thread) unless it lies in shared memory; one that it gives belongs to the caller. A pass that has
  // begun when the signal is aborted is finished. The next pass under the same signal may be given before one is done: the device goes on with it at once.

  /**
   * Forward pass over the samples of `ranges`; keeps what backward needs under `microbatch`. The first stage reads its
   * input from the data and takes none; the last one reads its targets there.
   */
  forward(
    stage: number,
    microbatch: number,
    ranges: readonly SampleRange[],
    input: HostTensor | undefined,
    signal: AbortSignal,
  ): Promise<ForwardResult>;
  /**
   * `B`, or `I` and later `W`: adds the parameters' gradient (`B`, `W`) to the sum and gives that of the input (`B`, `I`).
   * The last stage takes no `outputGradient`, nor does `W`. Frees the stash when both halves are done.
   */
  backward(
    op: 'B' | 'I' | 'W',
    stage: number,
    microbatch: number,
    outputGradient: HostTensor | undefined,
    signal: AbortSignal,
  ): Promise<BackwardResult>;
  /** Leaves the gradient sum of all backward passes since the last call in `Prepared.gradient`; `samples` went through each stage. */
  takeGradient(): Promise<{ readonly samples: number }>;
  /** An optimizer step of every stage on the gradient in `Prepared.gradient`, divided by `samples`. The moments stay on the device. */
  stepStages(samples: number, hyper: StepHyper): Promise<{ readonly computeMs: number }>;
  /** Leaves in `Prepared.gradient` how far the steps since `loadParameters` moved the parameters, base − new; `Prepared.parameters` is the base. */
  takeMove(): Promise<void>;
  /** Forgets stashes and gradient sum of a task that was called off. */
  dropPasses(): Promise<void>;
  /** Forward pass of samples [start, end) of a split, in index order, without a stash. */
  evaluateStage(stage: number, split: Split, start: number, end: number, input: HostTensor | undefined, signal: AbortSignal): Promise<ForwardResult>;
  /**
   * Times each block of the job's model at each microbatch size, one block in memory at a time. What alone exceeds what the
   * owner offered is left out.
   */
  profile(
    job: Job,
    files: ReadonlyMap<string, string>,
    microbatches: readonly number[],
    onBlock: (done: number, total: number) => void,
    signal: AbortSignal,
  ): Promise<DeviceTimings>;
  /** Drops the model of the run. */
  release(): Promise<void>;
}
