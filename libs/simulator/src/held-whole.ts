import { FORWARD_PART, type BatchStats, type ComputeResult, type Job, type LocalStepsRequest, type SampleRange, type Split, type VectorRange } from '@longtail/core';
import { countSamples, HeldModel, type ModelHolder } from './held-model.js';
import { LocalSteps } from './local-steps.js';
import type { BegunGradient } from './model.js';
import type { VirtualDevice } from './virtual-device.js';
import { VirtualStream } from './virtual-stream.js';

/** A whole model on a device: gradients of it, and optimizer steps. */
export class HeldWhole extends HeldModel {
  /** From its first steps on. */
  private steps: LocalSteps | undefined;
  /** Since it began. */
  private stream: VirtualStream | undefined;
  /** Of the gradient under way. */
  private ranges: readonly SampleRange[] = [];
  private begun: BegunGradient | undefined;

  constructor(holder: ModelHolder, device: VirtualDevice, job: Job) {
    super(holder, device, job, [holder.model.layout], 'whole', 1);
  }

  initial(): void {
    this.prepared.parameters.set(this.model.initial(this.job.train.seed));
  }

  gradient(ranges: readonly SampleRange[], signal: AbortSignal): Promise<ComputeResult> {
    const { device } = this;
    device.begin();
    this.ranges = ranges;
    this.begun = this.beginGradient(ranges);
    const taken = device.takeTask(signal);
    const samples = countSamples(ranges);
    const passed = taken === undefined ? device.pass(samples, 1, signal) : taken.then(() => device.pass(samples, 1, signal));
    this.begun?.dropUnless(passed);
    return passed.then(this.passed, device.calledOff);
  }

  private readonly passed = (computeMs: number): Promise<ComputeResult> | ComputeResult => {
    const { device } = this;
    try {
      const result = this.gradientOf(this.ranges, this.results.next(), this.begun);
      if (result instanceof Promise) return result.then((stats) => timed(stats, computeMs)).finally(device.free);
      device.free();
      return timed(result, computeMs);
    } catch (error) {
      return device.calledOff(error);
    }
  };

  localSteps(request: LocalStepsRequest, onStep: (done: number, stats: BatchStats) => void, signal: AbortSignal) {
    const { device } = this;
    return device.exclusively(async () => {
      await device.takeTask(signal);
      this.leaveShared();
      this.steps ??= new LocalSteps(this, device);
      return this.steps.run(request, onStep, signal);
    });
  }

  /** Nothing that it depends on changes while its task lasts. */
  beginGradient(ranges: readonly SampleRange[]): BegunGradient | undefined {
    const { model } = this;
    return model.beginGradient === undefined ? undefined : model.beginGradient(this.parameters, () => this.indicesOf(ranges), this.of);
  }

  gradientOf(ranges: readonly SampleRange[], out: Float32Array, begun: BegunGradient | undefined): Promise<BatchStats> | BatchStats {
    return this.device.outside(begun === undefined ? this.model.gradient(this.parameters, this.indicesOf(ranges), out, this.of) : begun.take(out));
  }

  startStream(): void {
    this.give(this.prepared.parameters);
    this.leaveShared();
    if (this.stream === undefined) this.stream = new VirtualStream(this.parameters);
    else this.stream.startAt(this.parameters);
  }

  takeStreamMove(parts: readonly VectorRange[]): void {
    this.stream!.takeMove(this.parameters, this.results.next(), parts);
  }

  prepareMix(parts: readonly VectorRange[], mixing: number): void {
    this.stream!.prepareMix(this.prepared.parameters, parts, mixing);
  }

  applyMix(): void {
    this.stream!.applyMix(this.parameters);
    this.changed();
  }

  evaluate(split: Split, start: number, end: number, signal: AbortSignal): Promise<ComputeResult> {
    const { device } = this;
    return device.exclusively(async () => {
      const computeMs = await device.pass(end - start, FORWARD_PART, signal);
      return { ...(await device.outside(this.model.evaluate(this.parameters, split, start, end, this.of))), computeMs };
    });
  }
}

function timed({ samples, targets, lossSum, correct }: BatchStats, computeMs: number): ComputeResult {
  return { samples, targets, lossSum, correct, computeMs };
}
