import type {
  BackwardResult,
  BatchStats,
  BlockRange,
  Compute,
  ComputeResult,
  DeviceInfo,
  DeviceTimings,
  ForwardResult,
  HostTensor,
  Job,
  LocalStepsRequest,
  OptimizerSpec,
  Prepared,
  SampleRange,
  Split,
  StageUse,
  StepHyper,
} from '@longtail/core';
import { isStateQuantized, localStateCount, LongtailError } from '@longtail/core';
import { epochOrder } from '@longtail/data';
import type { VirtualPass } from './blocks.js';
import type { VirtualClock } from './virtual-clock.js';
import type { VirtualModel } from './model.js';

/** A device's time: `overheadMs + samples / samplesPerSecond`, a third of it without the backward pass. */
export interface DevicePace {
  readonly samplesPerSecond: number;
  readonly overheadMs: number;
  readonly prepareMs: number;
}

const FORWARD_FRACTION = 1 / 3;
/** Of the backward pass. */
const INPUT_GRADIENT_FRACTION = 1 / 2;

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
  private range: BlockRange | 'all' = 'all';
  private readonly stash = new Map<number, Stashed>();
  private stageGradient = new Float32Array(0);
  private stageSamples = 0;
  /** Microbatches that there is room for between forward and backward. */
  private room = 1;

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

  async prepare(
    job: Job,
    _files: ReadonlyMap<string, string>,
    blocks: BlockRange | 'all',
    signal: AbortSignal,
    use?: StageUse,
  ): Promise<Prepared> {
    const { model, pace, clock, device } = this.options;
    await clock.sleep(pace.prepareMs, signal);
    this.throwFailure();
    const layout = blocks === 'all' ? model.layout : this.blockLayout(blocks);
    const { length } = layout;
    this.range = blocks;
    this.room = use?.inFlight ?? 1;
    this.stash.clear();
    this.stageGradient = new Float32Array(length);
    this.stageSamples = 0;
    this.job = job;
    this.parameters = new Float32Array(length);
    const { optimizer } = job.train;
    this.optimizer = isStateQuantized(optimizer) ? undefined : this.options.createOptimizer(length, optimizer);
    this.prepared = {
      layout,
      engine: device.engine,
      memoryBytes: 4 * length,
      samplesPerSecond: pace.samplesPerSecond / this.slowdown / this.fraction,
      trainSamples: model.trainSamples,
      validationSamples: model.validationSamples,
      blocks: model.blocks?.count,
      parameters: new Float32Array(length),
      gradient: new Float32Array(length),
      state: Array.from({ length: localStateCount(optimizer) }, () => new Float32Array(length)),
    };
    return this.prepared;
  }

  async initialParameters(): Promise<void> {
    const { model } = this.options;
    const { seed } = this.job!.train;
    this.prepared!.parameters.set(this.range === 'all' ? model.initial(seed) : model.blocks!.initial(this.range, seed));
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

  forward(microbatch: number, ranges: readonly SampleRange[], input: HostTensor | undefined, signal: AbortSignal): Promise<ForwardResult> {
    return this.exclusively(async () => {
      if (this.stash.size >= this.room) throw new LongtailError(`no room for more than ${this.room} microbatches`, { code: 'refused' });
      const samples = this.indicesOf(ranges);
      const computeMs = await this.pass(samples.length, FORWARD_FRACTION, signal);
      const pass = this.stagePass(samples, input);
      this.stash.set(microbatch, { pass, samples: samples.length, outputGradient: undefined });
      return { output: pass.output, stats: pass.stats, computeMs };
    });
  }

  backward(op: 'B' | 'I' | 'W', microbatch: number, outputGradient: HostTensor | undefined, signal: AbortSignal): Promise<BackwardResult> {
    return this.exclusively(async () => {
      const stashed = this.stash.get(microbatch);
      if (stashed === undefined) throw new Error(`${op} of microbatch ${microbatch}, of which nothing is stashed`);
      const fraction = op === 'B' ? 1 : op === 'I' ? INPUT_GRADIENT_FRACTION : 1 - INPUT_GRADIENT_FRACTION;
      const computeMs = await this.pass(stashed.samples, (1 - FORWARD_FRACTION) * fraction, signal);
      if (op === 'I') stashed.outputGradient = outputGradient;
      const gradient = op === 'W' ? stashed.outputGradient : outputGradient;
      const inputGradient = stashed.pass.backward(gradient, op === 'I' ? undefined : this.stageGradient);
      if (op !== 'I') {
        this.stash.delete(microbatch);
        this.stageSamples += stashed.samples;
      }
      return { inputGradient: op === 'W' ? undefined : inputGradient, computeMs };
    });
  }

  async takeGradient(): Promise<{ readonly samples: number }> {
    const samples = this.stageSamples;
    this.prepared!.gradient.set(this.stageGradient);
    this.stageGradient.fill(0);
    this.stageSamples = 0;
    return { samples };
  }

  async dropPasses(): Promise<void> {
    this.stash.clear();
    this.stageGradient.fill(0);
    this.stageSamples = 0;
  }

  evaluateStage(split: Split, start: number, end: number, input: HostTensor | undefined, signal: AbortSignal): Promise<ForwardResult> {
    return this.exclusively(async () => {
      const computeMs = await this.pass(end - start, FORWARD_FRACTION, signal);
      const from = split === 'train' ? 0 : this.options.model.trainSamples;
      const { output, stats } = this.stagePass(Int32Array.from({ length: end - start }, (_, i) => from + start + i), input);
      return { output, stats, computeMs };
    });
  }

  profile(
    _job: Job,
    _files: ReadonlyMap<string, string>,
    microbatches: readonly number[],
    onBlock: (done: number, total: number) => void,
    signal: AbortSignal,
  ): Promise<DeviceTimings> {
    return this.exclusively(async () => {
      this.range = 'all';
      const total = this.options.model.blocks?.count ?? 1;
      const timings = [];
      for (let i = 0; i < total; i++) {
        for (const microbatch of microbatches) {
          const forwardMs = await this.pass(microbatch, FORWARD_FRACTION / total, signal);
          const backwardMs = await this.pass(microbatch, (1 - FORWARD_FRACTION) / total, signal);
          const inputGradientMs = INPUT_GRADIENT_FRACTION * backwardMs;
          timings.push({ block: `block${i}`, microbatch, forwardMs, backwardMs, inputGradientMs, stashBytes: 0 });
        }
        onBlock(i + 1, total);
      }
      return { timings, cached: false };
    });
  }

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
    return this.outside(this.options.model.gradient(this.parameters, this.indicesOf(ranges), out));
  }

  private indicesOf(ranges: readonly SampleRange[]): Int32Array {
    const { trainSamples } = this.options.model;
    const { seed } = this.job!.train;
    return Int32Array.from(ranges.flatMap((range) => [...epochOrder(trainSamples, seed, range.epoch).indices(range)]));
  }

  private blockLayout({ start, end }: BlockRange) {
    const { blocks } = this.options.model;
    const count = blocks?.count ?? 1;
    if (blocks !== undefined && end <= count) return blocks.layout({ start, end });
    throw new LongtailError(`blocks ${start} to ${end} do not exist: the model has ${count}`, { code: 'usage' });
  }

  /** Of the whole model's work. */
  private get fraction(): number {
    return this.range === 'all' ? 1 : (this.range.end - this.range.start) / this.options.model.blocks!.count;
  }

  private stagePass(samples: Int32Array, input: HostTensor | undefined): VirtualPass {
    if (this.range === 'all') throw new Error('a solo worker has no passes');
    return this.options.model.blocks!.forward(this.range, this.parameters, samples, input);
  }

  private async pass(samples: number, fraction: number, signal: AbortSignal): Promise<number> {
    const { pace, clock } = this.options;
    this.throwFailure();
    const startedAtMs = clock.nowMs();
    let leftMs = pace.overheadMs + (this.fraction * fraction * 1000 * samples) / pace.samplesPerSecond;
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

interface Stashed {
  readonly pass: VirtualPass;
  readonly samples: number;
  outputGradient: HostTensor | undefined;
}

function countSamples(ranges: readonly SampleRange[]): number {
  return ranges.reduce((sum, { start, end }) => sum + end - start, 0);
}
