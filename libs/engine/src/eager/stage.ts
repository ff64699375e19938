import { LongtailError } from '@longtail/core';
import type { Batch, BatchStats, HostTensor, LossName, OptimizerSpec, ParameterLayout, Stage, StageOutput, StepHyper } from '@longtail/core';
import type * as tfjs from '@tensorflow/tfjs';
import { correctPerSample, correctTargets, sampleLosses, statsOf, targetsPerSample } from '../loss.js';
import { microbatches } from '../microbatches.js';
import { applyBlocks } from '../stage-model.js';
import type { StageModel } from '../stage-model.js';
import type { EagerBackend } from './backend.js';
import { bytesOf, freeStash } from './microbatch-stash.js';
import type { MicrobatchStash } from './microbatch-stash.js';
import { record } from './tape.js';
import type { Tape } from './tape.js';
import { TensorOptimizer } from './tensor-optimizer.js';

export interface EagerStageOptions {
  readonly loss: LossName;
  readonly maxMicrobatch: number;
  readonly recompute: boolean;
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
  private readonly stashes = new Map<number, MicrobatchStash>();
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

  get stashBytes(): number {
    return bytesOf(this.stashes.values(), this.parameters);
  }

  async forward(microbatch: number, input: HostTensor, targets?: HostTensor): Promise<StageOutput> {
    if (this.stashes.has(microbatch)) throw new Error(`microbatch ${microbatch} waits for its backward pass`);
    if (this.options.recompute) return this.forwardToRepeat(microbatch, input, targets);
    const { x, y } = this.feeds(input, targets);
    const { tape, hits } = this.stageTape(x, y, this.parameters);
    y?.dispose(); // the tape keeps what it needs
    this.stashes.set(microbatch, { samples: x.shape[0], input: x, tape, targets: undefined, parameters: [], halved: undefined });
    const output = await this.download(tape.output, tape.output.shape, 'keep');
    return this.output(output, hits, targets);
  }

  async infer(input: HostTensor, targets?: HostTensor): Promise<StageOutput> {
    const { x, y } = this.feeds(input, targets);
    const { output, hits } = this.pass(x, y);
    x.dispose();
    y?.dispose();
    return this.output(await this.download(output, output.shape), hits, targets);
  }

  async backward(microbatch: number, gradOutput?: HostTensor): Promise<HostTensor | undefined> {
    const stash = this.claim(microbatch, gradOutput);
    this.stashes.delete(microbatch);
    const [tape, seed] = [this.tapeOf(stash), this.seed(stash, gradOutput)];
    const gradients = tape.backward(seed);
    seed.dispose();
    freeStash(stash);
    const inputGradient = this.isFirst ? undefined : gradients.shift();
    this.addGradients(gradients, stash.samples);
    return this.isFirst ? undefined : this.download(inputGradient, stash.input.shape);
  }

  async backwardInput(microbatch: number, gradOutput?: HostTensor): Promise<HostTensor | undefined> {
    const stash = this.claim(microbatch, gradOutput);
    const seed = this.seed(stash, gradOutput);
    if (this.isFirst) {
      stash.halved = { outputGradient: seed };
      return undefined;
    }
    const inputGradient = this.tapeOf(stash).backwardFirst(seed);
    seed.dispose();
    stash.halved = { outputGradient: undefined };
    return this.download(inputGradient, stash.input.shape);
  }

  async backwardWeights(microbatch: number): Promise<void> {
    const stash = this.stashes.get(microbatch);
    if (stash?.halved === undefined) throw new Error(`microbatch ${microbatch} has no gradient of its input yet`);
    this.stashes.delete(microbatch);
    const { outputGradient } = stash.halved;
    const tape = this.tapeOf(stash);
    const gradients = outputGradient === undefined ? tape.backwardRest() : tape.backward(outputGradient);
    freeStash(stash);
    this.addGradients(gradients, stash.samples);
  }

  async dropPasses(): Promise<void> {
    for (const stash of this.stashes.values()) freeStash(stash);
    this.stashes.clear();
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
    await this.dropPasses();
    this.optimizer?.dispose();
    this.parameters.forEach((tensor) => tensor.dispose());
    this.parameters = [];
  }

  /** A forward pass whose stash is the input alone. */
  private async forwardToRepeat(microbatch: number, input: HostTensor, targets: HostTensor | undefined): Promise<StageOutput> {
    const { x, y } = this.feeds(input, targets);
    const { output, hits } = this.pass(x, y);
    const parameters = this.parameters.map((tensor) => this.backend.tf.clone(tensor));
    this.stashes.set(microbatch, { samples: x.shape[0], input: x, tape: undefined, targets: y, parameters, halved: undefined });
    return this.output(await this.download(output, output.shape), hits, targets);
  }

  private feeds(input: HostTensor, targets: HostTensor | undefined): { x: tfjs.Tensor; y: tfjs.Tensor | undefined } {
    if (this.isLast && targets === undefined) throw new Error('the last stage takes targets');
    return { x: this.upload(input, this.model.inputType), y: this.isLast ? this.upload(targets!, this.targetType) : undefined };
  }

  /** Forward on a tape; on the last stage up to the loss. */
  private stageTape(x: tfjs.Tensor, y: tfjs.Tensor | undefined, parameters: readonly tfjs.Tensor[]): { tape: Tape; hits: tfjs.Tensor | undefined } {
    let hits: tfjs.Tensor | undefined;
    const watched = this.trainable(parameters);
    const tape = this.record(this.isFirst ? watched : [x, ...watched], () => {
      const output = this.apply(x, parameters);
      if (y === undefined) return output;
      hits = correctPerSample(this.backend, this.options.loss, output, y);
      if (hits !== undefined) this.backend.tf.keep(hits);
      return this.losses(output, y);
    });
    return { tape, hits };
  }

  /** Forward without a tape. */
  private pass(x: tfjs.Tensor, y: tfjs.Tensor | undefined): { output: tfjs.Tensor; hits: tfjs.Tensor | undefined } {
    const [output, hits] = this.backend.tf.tidy(() => {
      const result = this.explain(() => this.apply(x));
      // A stage that hands its input through must not give that away.
      if (y === undefined) return [result === x ? this.backend.tf.clone(result) : result];
      const correct = correctPerSample(this.backend, this.options.loss, result, y);
      return correct === undefined ? [this.losses(result, y)] : [this.losses(result, y), correct];
    });
    return { output, hits };
  }

  private async output(output: HostTensor, hits: tfjs.Tensor | undefined, targets: HostTensor | undefined): Promise<StageOutput> {
    if (!this.isLast) return { output, stats: undefined };
    const correct = hits === undefined ? [] : await hits.data<'int32'>();
    hits?.dispose();
    return { output, stats: statsOf(this.options.loss, targets!.shape.slice(1), output.data, correct) };
  }

  /** A microbatch's stash, if `gradOutput` is what it waits for. */
  private claim(microbatch: number, gradOutput: HostTensor | undefined): MicrobatchStash {
    const stash = this.stashes.get(microbatch);
    if (stash === undefined) throw new Error(`microbatch ${microbatch} has no forward pass`);
    if (stash.halved !== undefined) throw new Error(`microbatch ${microbatch} has its gradient of the input already`);
    if (!this.isLast && gradOutput === undefined) throw new Error('a stage that is not the last takes the gradient of its output');
    return stash;
  }

  private seed({ samples }: MicrobatchStash, gradOutput: HostTensor | undefined): tfjs.Tensor {
    return this.isLast ? this.backend.tf.ones([samples]) : this.upload(gradOutput!, 'float32');
  }

  /** The tape of a microbatch's forward pass, which runs again where only its input was kept. */
  private tapeOf(stash: MicrobatchStash): Tape {
    if (stash.tape !== undefined) return stash.tape;
    const { tape, hits } = this.stageTape(stash.input, stash.targets, stash.parameters);
    hits?.dispose();
    return (stash.tape = tape);
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

  private apply(input: tfjs.Tensor, parameters: readonly tfjs.Tensor[] = this.parameters): tfjs.Tensor {
    return applyBlocks(this.backend, this.model, input, parameters);
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

  private trainable(parameters: readonly tfjs.Tensor[] = this.parameters): tfjs.Tensor[] {
    return parameters.filter((_, i) => this.layout.slots[i].trainable);
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

  private async download(tensor: tfjs.Tensor | undefined, shape: readonly number[], after: 'keep' | 'free' = 'free'): Promise<HostTensor> {
    const data = new Float32Array(shape.reduce((product, extent) => product * extent, 1));
    if (tensor !== undefined) await this.backend.read(tensor, data);
    if (after === 'free') tensor?.dispose();
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
