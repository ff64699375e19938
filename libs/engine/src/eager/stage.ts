import { LongtailError } from '@longtail/core';
import type { Batch, BatchStats, HostTensor, LossName, OptimizerSpec, ParameterLayout, Stage, StepHyper } from '@longtail/core';
import type * as tfjs from '@tensorflow/tfjs';
import { correctTargets, sampleLosses, targetsPerSample } from '../loss.js';
import { microbatches } from '../microbatches.js';
import { applyBlocks } from '../stage-model.js';
import type { StageModel } from '../stage-model.js';
import type { EagerBackend } from './backend.js';
import { record } from './tape.js';
import type { Tape } from './tape.js';
import { TensorOptimizer } from './tensor-optimizer.js';

export interface EagerStageOptions {
  readonly loss: LossName;
  readonly maxMicrobatch: number;
  /** Length = layout.length; copied. */
  readonly parameters: Float32Array;
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
  private readonly stashes = new Map<number, { readonly tape: Tape; readonly samples: number; readonly input: tfjs.Tensor }>();
  private gradientSums: Gradients;
  private gradientSamples = 0;
  private optimizer: TensorOptimizer | undefined;

  constructor(
    private readonly backend: EagerBackend,
    private readonly model: StageModel,
    private readonly options: EagerStageOptions,
  ) {
    this.layout = model.layout;
    this.isFirst = model.isFirst;
    this.isLast = model.isLast;
    this.gradientSums = this.noGradients();
    this.parameters = this.fromFlat(options.parameters);
  }

  async forward(microbatch: number, input: HostTensor, targets?: HostTensor): Promise<HostTensor> {
    if (this.stashes.has(microbatch)) throw new Error(`microbatch ${microbatch} waits for its backward pass`);
    if (this.isLast && targets === undefined) throw new Error('the last stage takes targets');
    const x = this.upload(input, this.model.inputType);
    const watched = this.isFirst ? this.trainable() : [x, ...this.trainable()];
    const tape = this.record(watched, () => {
      const output = this.apply(x);
      return this.isLast ? this.losses(output, this.upload(targets!, this.targetType)) : output;
    });
    this.stashes.set(microbatch, { tape, samples: input.shape[0], input: x });
    const data = new Float32Array(tape.output.size);
    await this.backend.read(tape.output, data);
    return { dtype: 'float32', shape: tape.output.shape, data };
  }

  async backward(microbatch: number, gradOutput?: HostTensor): Promise<HostTensor | undefined> {
    const stash = this.stashes.get(microbatch);
    if (stash === undefined) throw new Error(`microbatch ${microbatch} has no forward pass`);
    if (!this.isLast && gradOutput === undefined) throw new Error('a stage that is not the last takes the gradient of its output');
    this.stashes.delete(microbatch);
    const seed = this.isLast ? this.backend.tf.ones(stash.tape.output.shape) : this.upload(gradOutput!, 'float32');
    const gradients = stash.tape.backward(seed);
    [seed, stash.tape.output, stash.input].forEach((tensor) => tensor.dispose());
    const inputGradient = this.isFirst ? undefined : gradients.shift();
    this.gradientSums = this.sum(this.gradientSums, this.bySlot(gradients));
    this.gradientSamples += stash.samples;
    return this.isFirst ? undefined : this.download(inputGradient, stash.input.shape);
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
    if (this.optimizer === undefined) throw new Error('the stage has no optimizer: call useOptimizer first');
    const { sums, stats } = await this.batchGradient(batch, this.noGradients());
    const before = this.parameters;
    this.parameters = this.optimizer.step(before, sums, batch.samples, hyper);
    before.forEach((tensor, i) => tensor !== this.parameters[i] && tensor.dispose());
    sums.forEach((tensor) => tensor?.dispose());
    return stats;
  }

  async evaluate(batch: Batch): Promise<BatchStats> {
    this.assertWhole();
    const { tf } = this.backend;
    const parts = microbatches(batch, this.options.maxMicrobatch).map((part) => {
      const [losses, correct] = tf.tidy(() => {
        const targets = this.upload(part.targets, this.targetType);
        const output = this.explain(() => this.apply(this.upload(part.inputs, this.model.inputType)));
        return [this.losses(output, targets), correctTargets(this.backend, this.options.loss, output, targets) ?? tf.scalar(0)];
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

  async readParameters(out: Float32Array): Promise<void> {
    await this.toFlat(this.parameters, out);
  }

  async writeParameters(flat: Float32Array): Promise<void> {
    const before = this.parameters;
    this.parameters = this.fromFlat(flat);
    before.forEach((tensor) => tensor.dispose());
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
    for (const { tape, input } of this.stashes.values()) {
      tape.drop();
      tape.output.dispose();
      input.dispose();
    }
    this.stashes.clear();
    this.optimizer?.dispose();
    [...this.parameters, ...this.gradientSums].forEach((tensor) => tensor?.dispose());
    [this.parameters, this.gradientSums] = [[], this.noGradients()];
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
    const tape = this.record(this.trainable(), () => {
      const targets = this.upload(batch.targets, this.targetType);
      const output = this.apply(this.upload(batch.inputs, this.model.inputType));
      correct = correctTargets(this.backend, this.options.loss, output, targets);
      if (correct !== undefined) tf.keep(correct);
      return this.losses(output, targets);
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

  private apply(input: tfjs.Tensor): tfjs.Tensor {
    return applyBlocks(this.backend, this.model, input, this.parameters);
  }

  private losses(output: tfjs.Tensor, targets: tfjs.Tensor): tfjs.Tensor1D {
    return sampleLosses(this.backend, this.options.loss, output, targets);
  }

  private record(inputs: readonly tfjs.Tensor[], f: () => tfjs.Tensor): Tape {
    return this.explain(() => record(this.backend.tf, inputs, f));
  }

  /** A backend without some operation of the model is for the user to know, not a crash. */
  private explain<T>(work: () => T): T {
    try {
      return work();
    } catch (error) {
      const missing = /Kernel '(\w+)' not registered/.exec(String(error))?.[1];
      if (missing === undefined) throw error;
      throw new LongtailError(`engine ${this.backend.info.name} has no operation ${missing}, which the model needs`, { code: 'engine', cause: error, hint: 'Choose another engine.' });
    }
  }

  private get targetType(): 'float32' | 'int32' {
    return this.options.loss === 'cross-entropy' ? 'int32' : 'float32';
  }

  private trainable(): tfjs.Tensor[] {
    return this.parameters.filter((_, i) => this.layout.slots[i].trainable);
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

  /** Copies: some backends read the array later, or compute in it. */
  private upload({ data, shape }: HostTensor, dtype: 'float32' | 'int32'): tfjs.Tensor {
    const values = dtype === 'float32' ? new Float32Array(data) : new Int32Array(data);
    return this.backend.tf.tensor(values, [...shape], dtype);
  }

  private async download(tensor: tfjs.Tensor | undefined, shape: readonly number[]): Promise<HostTensor> {
    const data = new Float32Array(shape.reduce((product, extent) => product * extent, 1));
    if (tensor !== undefined) await this.backend.read(tensor, data);
    tensor?.dispose();
    return { dtype: 'float32', shape, data };
  }

  private fromFlat(flat: Float32Array): tfjs.Tensor[] {
    this.assertLength(flat);
    return this.layout.slots.map(({ offset, length, shape }) => this.backend.tf.tensor(flat.slice(offset, offset + length), [...shape], 'float32'));
  }

  private async toFlat(tensors: readonly (tfjs.Tensor | undefined)[], out: Float32Array): Promise<void> {
    this.assertLength(out);
    await Promise.all(
      this.layout.slots.map(async ({ offset, length }, i) => {
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
