import { touches } from '@longtail/core';
import type {
  Batch,
  BatchStats,
  HostTensor,
  LossName,
  OptimizerSpec,
  ParameterLayout,
  ParameterSlot,
  Stage,
  StageOutput,
  StepHyper,
  VectorRange,
} from '@longtail/core';
import type * as tfjs from '@tensorflow/tfjs';
import { correctTargets, targetsPerSample } from '../loss.js';
import { microbatches } from '../microbatches.js';
import { slotValues } from '../slot-values.js';
import type { StageModel } from '../stage-model.js';
import type { EagerBackend } from './backend.js';
import { PipelinePasses } from './pipeline-passes.js';
import { StageMath } from './stage-math.js';
import type { Tape } from './tape.js';
import { TensorOptimizer } from './tensor-optimizer.js';

export interface EagerStageOptions {
  readonly loss: LossName;
  readonly maxMicrobatch: number;
  readonly recompute: boolean;
  /** Length = layout.length; copied. */
  readonly parameters: Float32Array;
  readonly disposed?: () => void;
}

type Gradients = (tfjs.Tensor | undefined)[];

/** A forward pass with its loss on a tape. */
interface LossPass {
  readonly tape: Tape;
  /** int32 scalar; undefined for regression. */
  readonly correct: tfjs.Scalar | undefined;
}

/** A stage whose operations run one by one on a TF.js backend. */
export class EagerStage implements Stage {
  readonly layout: ParameterLayout;
  readonly isFirst: boolean;
  readonly isLast: boolean;
  /** One a slot of the layout; replaced, never changed, so that open tapes keep the values they were recorded with. */
  private parameters: tfjs.Tensor[] = [];
  private readonly math: StageMath;
  private readonly passes: PipelinePasses;
  private gradientSums: Gradients;
  private gradientSamples = 0;
  private optimizer: TensorOptimizer | undefined;

  constructor(
    private readonly backend: EagerBackend,
    model: StageModel,
    private readonly options: EagerStageOptions,
  ) {
    this.math = new StageMath(backend, model, options.loss);
    this.passes = new PipelinePasses(this.math, {
      recompute: options.recompute,
      parameters: () => this.parameters,
      addGradients: (gradients, samples) => this.addGradients(gradients, samples),
    });
    this.layout = model.layout;
    this.isFirst = model.isFirst;
    this.isLast = model.isLast;
    this.gradientSums = this.noGradients();
    this.parameters = this.fromFlat(options.parameters);
  }

  get stashBytes(): number {
    return this.passes.stashBytes;
  }

  forward(microbatch: number, input: HostTensor, targets?: HostTensor): Promise<StageOutput> {
    return this.passes.forward(microbatch, input, targets);
  }

  infer(input: HostTensor, targets?: HostTensor): Promise<StageOutput> {
    return this.passes.infer(input, targets);
  }

  backward(microbatch: number, gradOutput?: HostTensor): Promise<HostTensor | undefined> {
    return this.passes.backward(microbatch, gradOutput);
  }

  backwardInput(microbatch: number, gradOutput?: HostTensor): Promise<HostTensor | undefined> {
    return this.passes.backwardInput(microbatch, gradOutput);
  }

  backwardWeights(microbatch: number): Promise<void> {
    return this.passes.backwardWeights(microbatch);
  }

  async dropPasses(microbatches?: readonly number[]): Promise<void> {
    this.passes.drop(microbatches);
    if (microbatches !== undefined) return;
    this.gradientSums.forEach((tensor) => tensor?.dispose());
    [this.gradientSums, this.gradientSamples] = [this.noGradients(), 0];
  }

  async gradient(batch: Batch): Promise<BatchStats> {
    this.assertWhole();
    const { sums, stats } = await this.batchGradient(batch, this.gradientSums);
    this.gradientSums = sums;
    this.gradientSamples += batch.samples;
    return stats;
  }

  async step(batch: Batch, hyper: StepHyper): Promise<BatchStats> {
    this.assertWhole();
    this.ownOptimizer();
    const { sums, stats } = await this.batchGradient(batch, this.noGradients());
    this.stepOn(sums, batch.samples, hyper);
    return stats;
  }

  async evaluate(batch: Batch): Promise<BatchStats> {
    this.assertWhole();
    const { tf } = this.backend;
    const parts = microbatches(batch, this.options.maxMicrobatch).map((part) => {
      const [losses, correct] = tf.tidy(() => {
        const targets = this.math.upload(part.targets, this.math.targetType);
        const output = this.math.explain(() => this.math.apply(this.math.upload(part.inputs, this.math.model.inputType), this.parameters));
        return [this.math.losses(output, targets), correctTargets(this.backend, this.options.loss, output, targets) ?? tf.scalar(0)];
      });
      return { losses, correct };
    });
    return this.stats(batch, parts);
  }

  async takeGradient(out: Float32Array): Promise<{ samples: number }> {
    const [sums, samples] = [this.gradientSums, this.gradientSamples];
    [this.gradientSums, this.gradientSamples] = [this.noGradients(), 0];
    await this.toFlat(sums, out);
    sums.forEach((tensor) => tensor?.dispose());
    return { samples };
  }

  async readParameters(out: Float32Array, within?: VectorRange): Promise<void> {
    await this.toFlat(this.parameters, out, within);
  }

  async writeParameters(flat: Float32Array): Promise<void> {
    const before = this.parameters;
    this.parameters = this.fromFlat(flat);
    before.forEach((tensor) => tensor.dispose());
  }

  async addParameters(difference: Float32Array, within: VectorRange): Promise<void> {
    this.assertLength(difference);
    const { tf } = this.backend;
    this.parameters = this.layout.slots.map((slot, i) => {
      const before = this.parameters[i];
      if (!touches(slot, within)) return before;
      const added = tf.tidy(() => tf.add(before, this.math.upload({ data: slotValues(difference, slot, within), shape: slot.shape }, 'float32')));
      before.dispose();
      return added;
    });
  }

  async applyGradient(gradientSum: Float32Array, samples: number, hyper: StepHyper): Promise<void> {
    this.stepOn(this.fromFlat(gradientSum), samples, hyper);
  }

  async useOptimizer(optimizer: OptimizerSpec): Promise<void> {
    this.optimizer?.dispose();
    this.optimizer = new TensorOptimizer(this.backend.tf, optimizer, this.layout);
  }

  async readOptimizerState(out: readonly Float32Array[]): Promise<{ steps: number }> {
    const { moments, steps } = this.ownOptimizer();
    for (const [k, moment] of moments.entries()) await this.toFlat(moment, out[k]);
    return { steps };
  }

  async writeOptimizerState(state: readonly Float32Array[], steps: number): Promise<void> {
    const optimizer = this.ownOptimizer();
    const moments = optimizer.moments.map((_, k) => this.fromFlat(state[k]));
    optimizer.dispose();
    optimizer.moments = moments;
    optimizer.steps = steps;
  }

  async dispose(): Promise<void> {
    await this.dropPasses();
    this.optimizer?.dispose();
    this.parameters.forEach((tensor) => tensor.dispose());
    this.parameters = [];
    this.options.disposed?.();
  }

  /** Takes over the sums. */
  private stepOn(sums: Gradients, samples: number, hyper: StepHyper): void {
    const before = this.parameters;
    this.parameters = this.ownOptimizer().step(before, sums, samples, hyper);
    before.forEach((tensor, i) => tensor !== this.parameters[i] && tensor.dispose());
    sums.forEach((tensor) => tensor?.dispose());
  }

  private addGradients(gradients: Gradients, samples: number): void {
    this.gradientSums = this.sum(this.gradientSums, this.bySlot(gradients));
    this.gradientSamples += samples;
  }

  /** Gradient sums of a batch added to `into`, whose tensors it takes over. */
  private async batchGradient(batch: Batch, into: Gradients): Promise<{ sums: Gradients; stats: BatchStats }> {
    const passes: { losses: tfjs.Tensor; correct: tfjs.Tensor | undefined }[] = [];
    let sums = into;
    for (const part of microbatches(batch, this.options.maxMicrobatch)) {
      const { tape, correct } = this.lossPass(part);
      const seed = this.backend.tf.ones(tape.output.shape);
      sums = this.sum(sums, this.bySlot(tape.backward(seed)));
      seed.dispose();
      passes.push({ losses: tape.output, correct });
    }
    return { sums, stats: await this.stats(batch, passes) };
  }

  private lossPass(batch: Batch): LossPass {
    const { tf } = this.backend;
    let correct: tfjs.Scalar | undefined;
    const tape = this.math.record(this.math.trainable(this.parameters), () => {
      const targets = this.math.upload(batch.targets, this.math.targetType);
      const output = this.math.apply(this.math.upload(batch.inputs, this.math.model.inputType), this.parameters);
      correct = correctTargets(this.backend, this.options.loss, output, targets);
      if (correct !== undefined) tf.keep(correct);
      return this.math.losses(output, targets);
    });
    return { tape, correct };
  }

  private async stats(batch: Batch, passes: readonly { losses: tfjs.Tensor; correct: tfjs.Tensor | undefined }[]): Promise<BatchStats> {
    const perSample = targetsPerSample(this.options.loss, batch.targets.shape.slice(1));
    let lossSum = 0;
    let hits = 0;
    for (const { losses, correct } of passes) {
      for (const loss of await losses.data()) lossSum += loss * perSample;
      if (correct !== undefined) hits += (await correct.data())[0];
      losses.dispose();
      correct?.dispose();
    }
    return { samples: batch.samples, targets: batch.samples * perSample, lossSum, correct: hits };
  }

  /** Gradients of the trainable parameters at their slots of the layout. */
  private bySlot(gradients: Gradients): Gradients {
    let next = 0;
    return this.layout.slots.map((slot) => (slot.trainable ? gradients[next++] : undefined));
  }

  private noGradients(): Gradients {
    return this.layout.slots.map(() => undefined);
  }

  /** Takes over both. */
  private sum(a: Gradients, b: Gradients): Gradients {
    return a.map((x, i) => {
      const y = b[i];
      if (x === undefined || y === undefined) return x ?? y;
      const total = this.backend.tf.add(x, y);
      x.dispose();
      y.dispose();
      return total;
    });
  }

  private fromFlat(flat: Float32Array): tfjs.Tensor[] {
    this.assertLength(flat);
    return this.layout.slots.map((slot) => this.tensorOf(flat, slot));
  }

  private tensorOf(flat: Float32Array, { offset, length, shape }: ParameterSlot): tfjs.Tensor {
    return this.math.upload({ data: flat.subarray(offset, offset + length), shape }, 'float32');
  }

  private async toFlat(tensors: readonly (tfjs.Tensor | undefined)[], out: Float32Array, within?: VectorRange): Promise<void> {
    this.assertLength(out);
    await Promise.all(
      this.layout.slots.map(async (slot, i) => {
        if (!touches(slot, within)) return;
        const { offset, length } = slot;
        const [tensor, part] = [tensors[i], out.subarray(offset, offset + length)];
        if (tensor === undefined) part.fill(0);
        else await this.backend.read(tensor, part);
      }),
    );
  }

  private assertLength(flat: Float32Array): void {
    if (flat.length !== this.layout.length) throw new Error(`the stage has ${this.layout.length} parameters, the vector ${flat.length}`);
  }

  private assertWhole(): void {
    if (!this.isFirst || !this.isLast) throw new Error('only a stage that holds the whole model has a loss of its own');
  }

  private ownOptimizer(): TensorOptimizer {
    if (this.optimizer === undefined) throw new Error('the stage has no optimizer: call useOptimizer first');
    return this.optimizer;
  }
}
