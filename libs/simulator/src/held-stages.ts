import {
  FORWARD_PART,
  INPUT_GRADIENT_PART,
  type BackwardResult,
  type BlockRange,
  type ForwardResult,
  type HostTensor,
  type Job,
  type Loan,
  type SampleRange,
  type Split,
  type StageUse,
  type StepHyper,
} from '@longtail/core';
import { HeldModel, type ModelHolder } from './held-model.js';
import type { VirtualDevice } from './virtual-device.js';
import { VirtualStages } from './virtual-stages.js';

/** Stages of a model on a device: passes of microbatches through each, in the order in which they are given. */
export class HeldStages extends HeldModel {
  private readonly stages: VirtualStages;
  private readonly recompute: boolean;

  constructor(holder: ModelHolder, device: VirtualDevice, job: Job, ranges: readonly BlockRange[], use: StageUse | undefined) {
    const stages = new VirtualStages(holder.model.blocks!, ranges, use?.inFlight ?? 1);
    super(holder, device, job, stages.layouts, 'stages', stages.layouts.reduce((sum, _, stage) => sum + stages.fraction(stage), 0));
    this.stages = stages;
    this.recompute = use?.recompute ?? false;
  }

  initial(): void {
    this.stages.initial(this.job.train.seed, this.prepared.parameters);
  }

  override give(parameters: Float32Array, of?: Loan): void {
    super.give(parameters, of);
    this.stages.load(parameters);
  }

  forward(stage: number, microbatch: number, ranges: readonly SampleRange[], input: HostTensor | undefined, signal: AbortSignal): Promise<ForwardResult> {
    const { device, stages } = this;
    return device.inLine(async () => {
      stages.checkRoom();
      const samples = this.indicesOf(ranges);
      const computeMs = await this.pass(stage, samples.length, FORWARD_PART, signal);
      const { output, stats } = await device.outside(stages.forward(stage, microbatch, samples, input));
      return { output, stats, computeMs };
    });
  }

  backward(op: 'B' | 'I' | 'W', stage: number, microbatch: number, outputGradient: HostTensor | undefined, signal: AbortSignal): Promise<BackwardResult> {
    const { device, stages } = this;
    return device.inLine(async () => {
      const fraction = op === 'B' ? 1 : op === 'I' ? INPUT_GRADIENT_PART : 1 - INPUT_GRADIENT_PART;
      const again = this.recompute && op !== 'W' ? FORWARD_PART : 0;
      const samples = stages.samplesOf(stage, microbatch);
      const computeMs = await this.pass(stage, samples, (1 - FORWARD_PART) * fraction + again, signal);
      return { inputGradient: await device.outside(stages.backward(op, stage, microbatch, outputGradient)), computeMs };
    });
  }

  takeGradient(): Promise<{ readonly samples: number }> {
    return this.device.inLine(async () => ({ samples: this.stages.takeGradient(this.prepared.gradient) }));
  }

  step(samples: number, hyper: StepHyper): Promise<{ readonly computeMs: number }> {
    return this.device.inLine(async () => {
      this.leaveShared();
      this.optimizer.step(this.parameters, this.prepared.gradient, hyper, 1 / samples);
      this.stages.load(this.parameters);
      return { computeMs: 0 };
    });
  }

  takeMove(): Promise<void> {
    return this.device.inLine(async () => this.leaveMove());
  }

  drop(): Promise<void> {
    return this.device.inLine(async () => this.stages.drop());
  }

  evaluate(stage: number, split: Split, start: number, end: number, input: HostTensor | undefined, signal: AbortSignal): Promise<ForwardResult> {
    const { device, stages, model } = this;
    return device.inLine(async () => {
      const computeMs = await this.pass(stage, end - start, FORWARD_PART, signal);
      const from = split === 'train' ? 0 : model.trainSamples;
      const indices = Int32Array.from({ length: end - start }, (_, i) => from + start + i);
      const { output, stats } = await device.outside(stages.infer(stage, indices, input));
      return { output, stats, computeMs };
    });
  }

  /** `part` of a whole pass through the stage. */
  private pass(stage: number, samples: number, part: number, signal: AbortSignal): Promise<number> {
    return this.device.pass(samples, this.stages.fraction(stage) * part, signal);
  }
}
