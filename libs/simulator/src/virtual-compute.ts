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
  Loan,
  LocalStepsRequest,
  Prepared,
  Rng,
  SampleRange,
  Split,
  StageUse,
  StepHyper,
  VectorRange,
} from '@longtail/core';
import { FORWARD_PART, INPUT_GRADIENT_PART } from '@longtail/core';
import type { HeldModel, ModelHolder } from './held-model.js';
import { HeldStages } from './held-stages.js';
import { HeldWhole } from './held-whole.js';
import type { DeviceWatch } from './paced-device.js';
import type { VirtualClock } from './virtual-clock.js';
import { VirtualDevice, type DevicePace } from './virtual-device.js';

export interface VirtualComputeOptions extends ModelHolder {
  readonly clock: VirtualClock;
  readonly pace: DevicePace;
  readonly rng: Rng;
  readonly watch?: DeviceWatch | undefined;
}

/** A device whose time is virtual and whose arithmetic is real. */
export class VirtualCompute extends VirtualDevice implements Compute {
  readonly device: DeviceInfo;
  /** What it prepared last, one of the two. */
  private whole: HeldWhole | undefined;
  private stages: HeldStages | undefined;

  constructor(private readonly options: VirtualComputeOptions) {
    const { device, clock, pace, rng, watch } = options;
    super(clock, pace, rng, watch);
    this.device = device;
  }

  async prepare(
    job: Job,
    _files: ReadonlyMap<string, string>,
    ranges: readonly BlockRange[] | 'all',
    signal: AbortSignal,
    use?: StageUse,
  ): Promise<Prepared> {
    const { options } = this;
    await this.getReady(signal);
    const stages = ranges === 'all' ? undefined : new HeldStages(options, this, job, ranges, use);
    this.whole = stages === undefined ? new HeldWhole(options, this, job) : undefined;
    this.stages = stages;
    return this.held.prepared;
  }

  private get held(): HeldModel {
    return this.whole ?? this.stages!;
  }

  async initialParameters(): Promise<void> {
    this.held.initial();
  }

  loadParameters(): void {
    const { held } = this;
    held.give(held.prepared.parameters);
  }

  loadLent(parameters: Float32Array, loan: Loan): void {
    this.held.give(parameters, loan);
  }

  async loadState(steps: number): Promise<void> {
    this.held.loadState(steps);
  }

  gradient(ranges: readonly SampleRange[], signal: AbortSignal): Promise<ComputeResult> {
    return this.whole!.gradient(ranges, signal);
  }

  localSteps(request: LocalStepsRequest, onStep: (done: number, stats: BatchStats) => void, signal: AbortSignal) {
    return this.whole!.localSteps(request, onStep, signal);
  }

  async startStream(): Promise<void> {
    this.whole!.startStream();
  }

  async takeStreamMove(parts: readonly VectorRange[]): Promise<void> {
    this.whole!.takeStreamMove(parts);
  }

  async prepareMix(parts: readonly VectorRange[], mixing: number): Promise<void> {
    this.whole!.prepareMix(parts, mixing);
  }

  async applyMix(): Promise<void> {
    this.whole!.applyMix();
  }

  evaluate(split: Split, start: number, end: number, signal: AbortSignal): Promise<ComputeResult> {
    return this.whole!.evaluate(split, start, end, signal);
  }

  forward(
    stage: number,
    microbatch: number,
    ranges: readonly SampleRange[],
    input: HostTensor | undefined,
    signal: AbortSignal,
  ): Promise<ForwardResult> {
    return this.stages!.forward(stage, microbatch, ranges, input, signal);
  }

  backward(
    op: 'B' | 'I' | 'W',
    stage: number,
    microbatch: number,
    outputGradient: HostTensor | undefined,
    signal: AbortSignal,
  ): Promise<BackwardResult> {
    return this.stages!.backward(op, stage, microbatch, outputGradient, signal);
  }

  takeGradient(): Promise<{ readonly samples: number }> {
    return this.stages!.takeGradient();
  }

  stepStages(samples: number, hyper: StepHyper): Promise<{ readonly computeMs: number }> {
    return this.stages!.step(samples, hyper);
  }

  takeMove(): Promise<void> {
    return this.stages!.takeMove();
  }

  dropPasses(): Promise<void> {
    return this.stages!.drop();
  }

  evaluateStage(
    stage: number,
    split: Split,
    start: number,
    end: number,
    input: HostTensor | undefined,
    signal: AbortSignal,
  ): Promise<ForwardResult> {
    return this.stages!.evaluate(stage, split, start, end, input, signal);
  }

  profile(
    _job: Job,
    _files: ReadonlyMap<string, string>,
    microbatches: readonly number[],
    onBlock: (done: number, total: number) => void,
    signal: AbortSignal,
  ): Promise<DeviceTimings> {
    return this.exclusively(async () => {
      this.drop();
      const total = this.options.model.blocks?.count ?? 1;
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
    this.drop();
  }

  private drop(): void {
    this.whole = this.stages = undefined;
  }
}
