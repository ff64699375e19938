import type {
  BatchStats,
  BlockRange,
  Compute,
  ComputeResult,
  DeviceInfo,
  Job,
  LocalStepsRequest,
  OptimizerSpec,
  Prepared,
  SampleRange,
  Split,
  StepHyper,
} from '@longtail/core';
import type { LongtailError } from '@longtail/core';
import { epochOrder } from '@longtail/data';
import type { VirtualClock } from './virtual-clock.js';
import type { VirtualModel } from './model.js';

/** A device's time: `overheadMs + samples / samplesPerSecond`, a third of it without the backward pass. */
export interface DevicePace {
  readonly samplesPerSecond: number;
  readonly overheadMs: number;
  readonly prepareMs: number;
}

const FORWARD_FRACTION = 1 / 3;

/** An optimizer that takes gradient sums, as the server's shard does. */
export interface VirtualOptimizer {
  stepSum(parameters: Float32Array, gradientSum: Float32Array, samples: number, hyper: StepHyper): void;
  state(): readonly Float32Array[];
  readonly steps: number;
  setSteps(steps: number): void;
}

export interface VirtualComputeOptions {
  readonly clock: VirtualClock;
  readonly device: DeviceInfo;
  readonly pace: DevicePace;
  readonly model: VirtualModel;
  createOptimizer(length: number, optimizer: OptimizerSpec): VirtualOptimizer;
}

/** A device whose time is virtual and whose arithmetic is real. */
export class VirtualCompute implements Compute {
  readonly device: DeviceInfo;
  private slowness = 1;
  /** Wakes the task under way. */
  private paceChanged: (() => void) | undefined;
  /** The next task fails with this. */
  failure: LongtailError | undefined;
  private prepared: Prepared | undefined;
  private optimizer: VirtualOptimizer | undefined;
  private job: Job | undefined;
  /** What the engine would hold; `Prepared.parameters` is only the way in and out. */
  private parameters = new Float32Array(0);
  private busy = false;

  constructor(private readonly options: VirtualComputeOptions) {
    this.device = options.device;
  }

  get slowdown(): number {
    return this.slowness;
  }

  /** Above 1: the device is that much slower for now, the task under way included. */
  set slowdown(factor: number) {
    this.slowness = factor;
    this.paceChanged?.();
  }

  async prepare(job: Job, _files: ReadonlyMap<string, string>, _blocks: BlockRange | 'all', signal: AbortSignal): Promise<Prepared> {
    const { model, pace, clock, device } = this.options;
    await clock.sleep(pace.prepareMs, signal);
    this.throwFailure();
    const { length } = model.layout;
    this.job = job;
    this.parameters = new Float32Array(length);
    this.optimizer = this.options.createOptimizer(length, job.train.optimizer);
    this.prepared = {
      layout: model.layout,
      engine: device.engine,
      memoryBytes: 4 * length,
      samplesPerSecond: pace.samplesPerSecond / this.slowdown,
      trainSamples: model.trainSamples,
      validationSamples: model.validationSamples,
      parameters: new Float32Array(length),
      gradient: new Float32Array(length),
      state: this.optimizer.state().map(() => new Float32Array(length)),
    };
    return this.prepared;
  }

  async initialParameters(): Promise<void> {
    this.prepared!.parameters.set(this.options.model.initial(this.job!.train.seed));
  }

  async loadParameters(): Promise<void> {
    this.parameters.set(this.prepared!.parameters);
  }

  async loadState(steps: number): Promise<void> {
    for (const [i, vector] of this.optimizer!.state().entries()) vector.set(this.prepared!.state[i]!);
    this.optimizer!.setSteps(steps);
  }

  gradient(ranges: readonly SampleRange[], signal: AbortSignal): Promise<ComputeResult> {
    return this.exclusively(async () => {
      const computeMs = await this.pass(countSamples(ranges), 1, signal);
      const { gradient } = this.prepared!;
      gradient.fill(0);
      return { ...(await this.gradientOf(ranges, gradient)), computeMs };
    });
  }

  localSteps(request: LocalStepsRequest, onStep: (done: number, stats: BatchStats) => void, signal: AbortSignal) {
    return this.exclusively(async () => {
      const before = this.copyAll();
      try {
        const result = await this.stepThrough(request, onStep, signal);
        this.prepared!.parameters.set(this.parameters);
        for (const [i, vector] of this.optimizer!.state().entries()) this.prepared!.state[i]!.set(vector);
        return result;
      } catch (error) {
        this.restore(before);
        throw error;
      }
    });
  }

  evaluate(split: Split, start: number, end: number, signal: AbortSignal): Promise<ComputeResult> {
    return this.exclusively(async () => {
      const computeMs = await this.pass(end - start, FORWARD_FRACTION, signal);
      return { ...(await this.outside(this.options.model.evaluate(this.parameters, split, start, end))), computeMs };
    });
  }

  forward = wholeOnly;
  backward = wholeOnly;
  takeGradient = wholeOnly;
  dropPasses = wholeOnly;
  evaluateStage = wholeOnly;
  profile = wholeOnly;

  async release(): Promise<void> {
    this.prepared = undefined;
    this.optimizer = undefined;
  }

  private async stepThrough({ batches, stop }: LocalStepsRequest, onStep: (done: number, stats: BatchStats) => void, signal: AbortSignal) {
    const total = { samples: 0, targets: 0, lossSum: 0, correct: 0, computeMs: 0, steps: 0 };
    const gradient = new Float32Array(this.parameters.length);
    for (const { ranges, hyper } of batches) {
      if (stop.aborted) break;
      total.computeMs += await this.pass(countSamples(ranges), 1, signal);
      gradient.fill(0);
      const stats = await this.gradientOf(ranges, gradient);
      this.optimizer!.stepSum(this.parameters, gradient, stats.samples, hyper);
      for (const key of ['samples', 'targets', 'lossSum', 'correct'] as const) total[key] += stats[key];
      total.steps++;
      onStep(total.steps, total);
    }
    return total;
  }

  private gradientOf(ranges: readonly SampleRange[], out: Float32Array): Promise<BatchStats> {
    const { model } = this.options;
    const { seed } = this.job!.train;
    const indices = ranges.flatMap((range) => [...epochOrder(model.trainSamples, seed, range.epoch).indices(range)]);
    return this.outside(model.gradient(this.parameters, Int32Array.from(indices), out));
  }

  private async pass(samples: number, fraction: number, signal: AbortSignal): Promise<number> {
    const { pace, clock } = this.options;
    this.throwFailure();
    const startedAtMs = clock.nowMs();
    let leftMs = pace.overheadMs + (fraction * 1000 * samples) / pace.samplesPerSecond;
    while (leftMs > 0) {
      const { slowness } = this;
      const fromMs = clock.nowMs();
      const whole = await this.sleepAtThisPace(slowness * leftMs, signal);
      leftMs = whole ? 0 : leftMs - (clock.nowMs() - fromMs) / slowness;
    }
    return clock.nowMs() - startedAtMs;
  }

  /** Resolves with whether the time has passed; false: the pace changed before. Rejects when aborted. */
  private sleepAtThisPace(ms: number, signal: AbortSignal): Promise<boolean> {
    const { clock } = this.options;
    return new Promise((resolve, reject) => {
      if (signal.aborted) return reject(signal.reason as Error);
      const end = (settle: () => void) => {
        cancel();
        this.paceChanged = undefined;
        signal.removeEventListener('abort', aborted);
        settle();
      };
      const aborted = () => end(() => reject(signal.reason as Error));
      const cancel = clock.at(clock.nowMs() + ms, () => end(() => resolve(true)));
      this.paceChanged = () => end(() => resolve(false));
      signal.addEventListener('abort', aborted);
    });
  }

  /** The contract of Compute: one call at a time. */
  private async exclusively<T>(call: () => Promise<T>): Promise<T> {
    if (this.busy) throw new Error('two calls of a device at once');
    this.busy = true;
    try {
      return await call();
    } finally {
      this.busy = false;
    }
  }

  private async outside<T>(result: T | Promise<T>): Promise<T> {
    return result instanceof Promise ? this.options.clock.outsideWork(result) : result;
  }

  private throwFailure(): void {
    const { failure } = this;
    this.failure = undefined;
    if (failure !== undefined) throw failure;
  }

  private copyAll() {
    return {
      parameters: this.parameters.slice(),
      state: this.optimizer!.state().map((vector) => vector.slice()),
      steps: this.optimizer!.steps,
    };
  }

  private restore({ parameters, state, steps }: ReturnType<VirtualCompute['copyAll']>): void {
    this.parameters.set(parameters);
    for (const [i, vector] of this.optimizer!.state().entries()) vector.set(state[i]!);
    this.optimizer!.setSteps(steps);
  }
}

function countSamples(ranges: readonly SampleRange[]): number {
  return ranges.reduce((sum, { start, end }) => sum + end - start, 0);
}

function wholeOnly(): Promise<never> {
  return Promise.reject(new Error('a virtual device computes whole models only'));
}
