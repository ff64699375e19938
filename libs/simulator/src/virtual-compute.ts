import type {
  BackwardResult,
  BatchStats,
  BlockRange,
  Compute,
  ComputeResult,
  DeviceInfo,
  DeviceSpeed,
  DeviceTimings,
  ForwardResult,
  HostTensor,
  Job,
  Loan,
  LocalStepsRequest,
  OptimizerSpec,
  Prepared,
  Rng,
  SampleRange,
  Split,
  StageUse,
  StepHyper,
  VectorRange,
} from '@longtail/core';
import { clippedDivisor, FORWARD_PART, INPUT_GRADIENT_PART, joinLayouts, localStateCount, passMs, sumOfSquares, type LongtailError } from '@longtail/core';
import { SampleOrder } from '@longtail/data';
import { Anchor, type CountedOptimizer } from '@longtail/kernels';
import { LentVectors } from './lent-vectors.js';
import type { VirtualClock } from './virtual-clock.js';
import type { BegunGradient, VirtualModel } from './model.js';
import { PacedDevice } from './paced-device.js';
import { Thermal, type ThermalSpec } from './thermal.js';
import { VirtualPrepared } from './virtual-prepared.js';
import { VirtualStages } from './virtual-stages.js';

export interface DevicePace extends DeviceSpeed {
  readonly prepareMs: number;
  /** Of each task beside its passes. @default 0 */
  readonly taskMs?: number | undefined;
  /** @default as fast hot as cool */
  readonly thermal?: ThermalSpec | undefined;
  /** Before it prepares for the first time, as what it needs comes from elsewhere. @default 0 */
  readonly downloadMs?: number;
}

export interface VirtualComputeOptions {
  readonly clock: VirtualClock;
  readonly device: DeviceInfo;
  readonly pace: DevicePace;
  readonly rng: Rng;
  readonly model: VirtualModel;
  createOptimizer(length: number, optimizer: OptimizerSpec): CountedOptimizer;
  createVector(length: number): Float32Array;
  /** Told when a pass begins, and when it ends. */
  readonly busy?: (isBusy: boolean) => void;
}

/** A device whose time is virtual and whose arithmetic is real. */
export class VirtualCompute implements Compute {
  readonly device: DeviceInfo;
  /** The next task fails with this. */
  failure: LongtailError | undefined;
  private prepared: Prepared | undefined;
  /** Made when it is first asked for: most devices only give gradients. */
  private made: CountedOptimizer | undefined;
  private job: Job | undefined;
  private order: SampleOrder | undefined;
  /** What it was given last, which nobody changes before a task begins with others. */
  private base: Float32Array = new Float32Array(0);
  /** What the engine would hold: the base until the device steps. */
  private parameters: Float32Array = this.base;
  /** Of the parameters: the same for the same ones; undefined: nobody knows. */
  private of: object | undefined;
  /** What it steps to. */
  private stepped: Float32Array | undefined;
  private results = new LentVectors(() => new Float32Array(0));
  private anchor: Anchor | undefined;
  /** What was prepared. */
  private mix: Float32Array | undefined;
  /** Of a local step. */
  private stepGradient: Float32Array | undefined;
  /** What local steps begin with, for when they are called off. */
  private before: readonly Float32Array[] | undefined;
  private downloaded = false;
  private readonly paced: PacedDevice;
  private busy = false;
  private line: Promise<unknown> = Promise.resolve();
  /** Undefined: it holds the whole model. */
  private stages: VirtualStages | undefined;
  private recompute = false;
  private anyIndices = new Int32Array(0);
  /** Of the gradient under way. */
  private ranges: readonly SampleRange[] = [];
  private begun: BegunGradient | undefined;
  // Of the options, as each gradient of thousands of devices would have to fetch them from elsewhere.
  private readonly clock: VirtualClock;
  private readonly pace: DevicePace;
  private readonly model: VirtualModel;
  private readonly rng: Rng;
  private readonly draw = (): number => this.rng.uniform();

  constructor(private readonly options: VirtualComputeOptions) {
    const { device, clock, pace, model, rng, busy } = options;
    this.device = device;
    this.clock = clock;
    this.pace = pace;
    this.model = model;
    this.rng = rng;
    this.paced = new PacedDevice(clock, pace.thermal && new Thermal(pace.thermal), busy);
  }

  get slowdown(): number {
    return this.paced.slowdown;
  }

  /** Above 1: the device is that much slower for now, the task under way included. */
  set slowdown(factor: number) {
    this.paced.slowdown = factor;
  }

  async prepare(
    job: Job,
    _files: ReadonlyMap<string, string>,
    ranges: readonly BlockRange[] | 'all',
    signal: AbortSignal,
    use?: StageUse,
  ): Promise<Prepared> {
    const { model, pace, clock, device } = this;
    if (!this.downloaded) await clock.sleep(pace.downloadMs ?? 0, signal);
    this.downloaded = true;
    await clock.sleep(pace.prepareMs, signal);
    this.throwFailure();
    this.stages = ranges === 'all' ? undefined : new VirtualStages(model.blocks!, ranges, use?.inFlight ?? 1);
    this.recompute = use?.recompute ?? false;
    const layouts = this.stages?.layouts ?? [model.layout];
    const { length } = joinLayouts(layouts);
    const fraction = layouts.reduce((sum, _, stage) => sum + this.fraction(stage), 0);
    this.job = job;
    this.order = new SampleOrder(model.trainSamples, job.train.seed);
    this.anchor = undefined;
    this.stepped = this.mix = this.stepGradient = this.before = undefined;
    this.made = undefined;
    this.results = new LentVectors(() => this.options.createVector(length));
    const samplesPerSecond = pace.samplesPerSecond / this.slowdown / fraction;
    this.prepared = new VirtualPrepared(layouts, device.engine, samplesPerSecond, model, this.results, ranges === 'all', localStateCount(job.train.optimizer));
    this.give(this.prepared.parameters);
    return this.prepared;
  }

  async initialParameters(): Promise<void> {
    const { parameters } = this.prepared!;
    const { seed } = this.job!.train;
    if (this.stages === undefined) parameters.set(this.model.initial(seed));
    else this.stages.initial(seed, parameters);
  }

  loadParameters(): void {
    this.give(this.prepared!.parameters);
  }

  loadLent(parameters: Float32Array, loan: Loan): void {
    this.give(parameters, loan);
  }

  async loadState(steps: number): Promise<void> {
    for (const [i, vector] of this.optimizer.state().entries()) vector.set(this.prepared!.state[i]!);
    this.optimizer.setSteps(steps);
  }

  gradient(ranges: readonly SampleRange[], signal: AbortSignal): Promise<ComputeResult> {
    this.begin();
    this.ranges = ranges;
    this.begun = this.beginGradient(ranges);
    const taken = this.takeTask(signal);
    const samples = countSamples(ranges);
    const passed = taken === undefined ? this.pass(samples, 1, signal) : taken.then(() => this.pass(samples, 1, signal));
    this.begun?.dropUnless(passed);
    return passed.then(this.passed, this.calledOff);
  }

  private readonly passed = (computeMs: number): Promise<ComputeResult> | ComputeResult => {
    try {
      const result = this.gradientOf(this.ranges, this.results.next(), this.begun);
      if (result instanceof Promise) return result.then((stats) => timed(stats, computeMs)).finally(this.free);
      this.free();
      return timed(result, computeMs);
    } catch (error) {
      return this.calledOff(error);
    }
  };

  localSteps(request: LocalStepsRequest, onStep: (done: number, stats: BatchStats) => void, signal: AbortSignal) {
    return this.exclusively(async () => {
      await this.takeTask(signal);
      this.leaveShared();
      const steps = this.keepAll();
      try {
        const result = await this.stepThrough(request, onStep, signal);
        const { parameters, state } = this.prepared!;
        if (request.result === 'move') this.readMove();
        if (request.result === 'parameters') {
          parameters.set(this.parameters);
          for (const [i, vector] of this.optimizer.state().entries()) state[i]!.set(vector);
        }
        return result;
      } catch (error) {
        this.restore(steps);
        throw error;
      }
    });
  }

  async startStream(): Promise<void> {
    this.loadParameters();
    this.leaveShared();
    if (this.anchor === undefined) this.anchor = new Anchor(this.parameters);
    else this.anchor.moveTo(this.parameters);
  }

  async takeStreamMove(parts: readonly VectorRange[]): Promise<void> {
    const gradient = this.results.next();
    for (const part of parts) this.anchor!.takeMove(this.parameters, gradient, part);
  }

  async prepareMix(parts: readonly VectorRange[], mixing: number): Promise<void> {
    const mix = (this.mix ??= new Float32Array(this.parameters.length)).fill(0);
    for (const part of parts) this.anchor!.mix(this.prepared!.parameters, mix, part, mixing);
  }

  async applyMix(): Promise<void> {
    const { parameters, mix } = this;
    for (let i = 0; i < mix!.length; i++) parameters[i]! += mix![i]!;
    this.of = {};
  }

  evaluate(split: Split, start: number, end: number, signal: AbortSignal): Promise<ComputeResult> {
    return this.exclusively(async () => {
      const computeMs = await this.pass(end - start, FORWARD_PART, signal);
      return { ...(await this.outside(this.model.evaluate(this.parameters, split, start, end, this.of))), computeMs };
    });
  }

  forward(
    stage: number,
    microbatch: number,
    ranges: readonly SampleRange[],
    input: HostTensor | undefined,
    signal: AbortSignal,
  ): Promise<ForwardResult> {
    return this.inLine(async () => {
      this.held.checkRoom();
      const samples = this.indicesOf(ranges);
      const computeMs = await this.pass(samples.length, FORWARD_PART, signal, stage);
      const { output, stats } = await this.outside(this.held.forward(stage, microbatch, samples, input));
      return { output, stats, computeMs };
    });
  }

  backward(
    op: 'B' | 'I' | 'W',
    stage: number,
    microbatch: number,
    outputGradient: HostTensor | undefined,
    signal: AbortSignal,
  ): Promise<BackwardResult> {
    return this.inLine(async () => {
      const fraction = op === 'B' ? 1 : op === 'I' ? INPUT_GRADIENT_PART : 1 - INPUT_GRADIENT_PART;
      const again = this.recompute && op !== 'W' ? FORWARD_PART : 0;
      const samples = this.held.samplesOf(stage, microbatch);
      const computeMs = await this.pass(samples, (1 - FORWARD_PART) * fraction + again, signal, stage);
      return { inputGradient: await this.outside(this.held.backward(op, stage, microbatch, outputGradient)), computeMs };
    });
  }

  takeGradient(): Promise<{ readonly samples: number }> {
    return this.inLine(async () => ({ samples: this.held.takeGradient(this.prepared!.gradient) }));
  }

  stepStages(samples: number, hyper: StepHyper): Promise<{ readonly computeMs: number }> {
    return this.inLine(async () => {
      this.leaveShared();
      this.optimizer.step(this.parameters, this.prepared!.gradient, hyper, 1 / samples);
      this.held.load(this.parameters);
      return { computeMs: 0 };
    });
  }

  takeMove(): Promise<void> {
    return this.inLine(async () => this.readMove());
  }

  dropPasses(): Promise<void> {
    return this.inLine(async () => this.held.drop());
  }

  evaluateStage(
    stage: number,
    split: Split,
    start: number,
    end: number,
    input: HostTensor | undefined,
    signal: AbortSignal,
  ): Promise<ForwardResult> {
    return this.inLine(async () => {
      const computeMs = await this.pass(end - start, FORWARD_PART, signal, stage);
      const from = split === 'train' ? 0 : this.model.trainSamples;
      const indices = Int32Array.from({ length: end - start }, (_, i) => from + start + i);
      const { output, stats } = await this.outside(this.held.infer(stage, indices, input));
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
      this.stages = undefined;
      const total = this.model.blocks?.count ?? 1;
      const timings = [];
      for (let i = 0; i < total; i++) {
        for (const microbatch of microbatches) {
          const forwardMs = await this.pass(microbatch, FORWARD_PART / total, signal);
          const backwardMs = await this.pass(microbatch, (1 - FORWARD_PART) / total, signal);
          const inputGradientMs = INPUT_GRADIENT_PART * backwardMs;
          const calls = { forwardCallMs: 0, backwardCallMs: 0 };
          timings.push({ block: `block${i}`, microbatch, forwardMs, backwardMs, inputGradientMs, stashBytes: 0, ...calls, recomputeMs: forwardMs });
        }
        onBlock(i + 1, total);
      }
      return { timings, untimed: 0, handOverMs: 0, cached: false };
    });
  }

  async release(): Promise<void> {
    this.prepared = undefined;
    this.made = undefined;
  }

  private give(parameters: Float32Array, of?: object): void {
    this.base = this.parameters = parameters;
    this.of = of;
    this.stages?.load(parameters);
  }

  /** What it has from now on is its own. */
  private leaveShared(): void {
    const { base } = this;
    if (this.parameters !== base) return;
    this.parameters = this.stepped ??= new Float32Array(base.length);
    this.parameters.set(base);
  }

  private readMove(): void {
    const { base, parameters } = this;
    const move = this.results.next();
    for (let i = 0; i < move.length; i++) move[i] = base[i]! - parameters[i]!;
  }

  private async stepThrough({ batches, stop }: Pick<LocalStepsRequest, 'batches' | 'stop'>, onStep: (done: number, stats: BatchStats) => void, signal: AbortSignal) {
    const total = { samples: 0, targets: 0, lossSum: 0, correct: 0, computeMs: 0, steps: 0 };
    const gradient = (this.stepGradient ??= new Float32Array(this.parameters.length));
    for (const { ranges, hyper } of batches) {
      if (stop.aborted) break;
      const begun = this.beginGradient(ranges);
      const passed = this.pass(countSamples(ranges), 1, signal);
      begun?.dropUnless(passed);
      total.computeMs += await passed;
      const stats = await this.gradientOf(ranges, gradient, begun);
      const divisor = clippedDivisor(() => sumOfSquares(gradient), stats.samples, this.job!.train.clipNorm);
      this.optimizer.step(this.parameters, gradient, hyper, 1 / divisor);
      this.of = {};
      for (const key of ['samples', 'targets', 'lossSum', 'correct'] as const) total[key] += stats[key];
      total.steps++;
      onStep(total.steps, total);
    }
    return total;
  }

  /** Nothing that it depends on changes while its task lasts. */
  private beginGradient(ranges: readonly SampleRange[]): BegunGradient | undefined {
    const { model } = this;
    return model.beginGradient === undefined ? undefined : model.beginGradient(this.parameters, () => this.indicesOf(ranges), this.of);
  }

  private gradientOf(ranges: readonly SampleRange[], out: Float32Array, begun: BegunGradient | undefined): Promise<BatchStats> | BatchStats {
    return this.outside(begun === undefined ? this.model.gradient(this.parameters, this.indicesOf(ranges), out, this.of) : begun.take(out));
  }

  private indicesOf(ranges: readonly SampleRange[]): Int32Array {
    return this.model.ignoresSamples ? this.indices(countSamples(ranges)) : this.order!.indicesOf(ranges);
  }

  /** Of samples that are all alike. */
  private indices(count: number): Int32Array {
    if (this.anyIndices.length !== count) this.anyIndices = new Int32Array(count);
    return this.anyIndices;
  }

  private get optimizer(): CountedOptimizer {
    return (this.made ??= this.options.createOptimizer(this.parameters.length, this.job!.train.optimizer));
  }

  private get held(): VirtualStages {
    if (this.stages === undefined) throw new Error('a solo worker has no passes');
    return this.stages;
  }

  /** Of the whole model's work. */
  private fraction(stage: number): number {
    return this.stages?.fraction(stage) ?? 1;
  }

  private takeTask(signal: AbortSignal): Promise<void> | undefined {
    const { clock, pace } = this;
    return pace.taskMs === undefined ? undefined : clock.sleep(pace.taskMs, signal);
  }

  /** Resolves with how long it took. */
  private pass(samples: number, fraction: number, signal: AbortSignal, stage = 0): Promise<number> {
    const { failure } = this;
    this.failure = undefined;
    if (failure !== undefined) return Promise.reject(failure);
    return this.paced.work(passMs(this.pace, samples, this.fraction(stage) * fraction, this.draw), signal);
  }

  /** Passes may be given before those ahead of them are done. */
  private inLine<T>(call: () => Promise<T>): Promise<T> {
    const turn = this.line.then(() => this.exclusively(call));
    this.line = turn.catch(() => undefined);
    return turn;
  }

  /** The contract of Compute: all else one call at a time. */
  private async exclusively<T>(call: () => Promise<T>): Promise<T> {
    this.begin();
    try {
      return await call();
    } finally {
      this.free();
    }
  }

  private begin(): void {
    if (this.busy) throw new Error('two calls of a device at once');
    this.busy = true;
  }

  private readonly free = (): void => {
    this.busy = false;
  };

  private readonly calledOff = (reason: unknown): never => {
    this.free();
    throw reason;
  };

  private outside<T>(result: T | Promise<T>): Promise<T> | T {
    return result instanceof Promise ? this.clock.outsideWork(result) : result;
  }

  private throwFailure(): void {
    const { failure } = this;
    this.failure = undefined;
    if (failure !== undefined) throw failure;
  }

  /** Parameters, moments and the number of steps. */
  private keepAll(): number {
    const { vectors } = this;
    this.before ??= vectors.map(({ length }) => new Float32Array(length));
    for (const [i, vector] of vectors.entries()) this.before[i]!.set(vector);
    return this.optimizer.steps;
  }

  private restore(steps: number): void {
    for (const [i, vector] of this.vectors.entries()) vector.set(this.before![i]!);
    this.of = {};
    this.optimizer.setSteps(steps);
  }

  private get vectors(): readonly Float32Array[] {
    return [this.parameters, ...this.optimizer.state()];
  }
}

function countSamples(ranges: readonly SampleRange[]): number {
  let samples = 0;
  for (const { start, end } of ranges) samples += end - start;
  return samples;
}

function timed({ samples, targets, lossSum, correct }: BatchStats, computeMs: number): ComputeResult {
  return { samples, targets, lossSum, correct, computeMs };
}
