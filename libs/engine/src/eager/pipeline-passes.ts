import type { HostTensor, StageOutput } from '@longtail/core';
import type * as tfjs from '@tensorflow/tfjs';
import { correctPerSample, statsOf } from '../loss.js';
import { bytesOf, freeStash } from './microbatch-stash.js';
import type { MicrobatchStash } from './microbatch-stash.js';
import type { StageMath } from './stage-math.js';
import type { Tape } from './tape.js';

export interface PipelinePassesOptions {
  readonly recompute: boolean;
  /** Those in force; never changed in place. */
  parameters(): readonly tfjs.Tensor[];
  /** Takes over the gradients of the trainable parameters. */
  addGradients(gradients: (tfjs.Tensor | undefined)[], samples: number): void;
}

/** Forward and backward passes of a stage's microbatches, in any order. */
export class PipelinePasses {
  private readonly stashes = new Map<number, MicrobatchStash>();

  constructor(
    private readonly math: StageMath,
    private readonly options: PipelinePassesOptions,
  ) {}

  get stashBytes(): number {
    return bytesOf(this.stashes.values(), this.options.parameters());
  }

  async forward(microbatch: number, input: HostTensor, targets?: HostTensor): Promise<StageOutput> {
    if (this.stashes.has(microbatch)) throw new Error(`microbatch ${microbatch} waits for its backward pass`);
    if (this.options.recompute) return this.forwardToRepeat(microbatch, input, targets);
    const { x, y } = this.feeds(input, targets);
    const { tape, hits } = this.stageTape(x, y, this.options.parameters());
    y?.dispose(); // the tape keeps what it needs
    this.stashes.set(microbatch, { samples: x.shape[0], input: x, tape, targets: undefined, parameters: [], halved: undefined });
    const output = await this.math.download(tape.output, tape.output.shape, 'keep');
    return this.output(output, hits, targets);
  }

  async infer(input: HostTensor, targets?: HostTensor): Promise<StageOutput> {
    const { x, y } = this.feeds(input, targets);
    const { output, hits } = this.pass(x, y);
    x.dispose();
    y?.dispose();
    return this.output(await this.math.download(output, output.shape), hits, targets);
  }

  async backward(microbatch: number, gradOutput?: HostTensor): Promise<HostTensor | undefined> {
    const stash = this.claim(microbatch, gradOutput);
    this.stashes.delete(microbatch);
    const [tape, seed] = [this.tapeOf(stash), this.seed(stash, gradOutput)];
    const gradients = tape.backward(seed);
    seed.dispose();
    freeStash(stash);
    const inputGradient = this.math.model.isFirst ? undefined : gradients.shift();
    this.options.addGradients(gradients, stash.samples);
    return this.math.model.isFirst ? undefined : this.math.download(inputGradient, stash.input.shape);
  }

  async backwardInput(microbatch: number, gradOutput?: HostTensor): Promise<HostTensor | undefined> {
    const stash = this.claim(microbatch, gradOutput);
    const seed = this.seed(stash, gradOutput);
    if (this.math.model.isFirst) {
      stash.halved = { outputGradient: seed };
      return undefined;
    }
    const inputGradient = this.tapeOf(stash).backwardFirst(seed);
    seed.dispose();
    stash.halved = { outputGradient: undefined };
    return this.math.download(inputGradient, stash.input.shape);
  }

  async backwardWeights(microbatch: number): Promise<void> {
    const stash = this.stashes.get(microbatch);
    if (stash?.halved === undefined) throw new Error(`microbatch ${microbatch} has no gradient of its input yet`);
    this.stashes.delete(microbatch);
    const { outputGradient } = stash.halved;
    const tape = this.tapeOf(stash);
    const gradients = outputGradient === undefined ? tape.backwardRest() : tape.backward(outputGradient);
    freeStash(stash);
    this.options.addGradients(gradients, stash.samples);
  }

  drop(microbatches: readonly number[] = [...this.stashes.keys()]): void {
    for (const microbatch of microbatches) {
      const stash = this.stashes.get(microbatch);
      if (stash !== undefined) freeStash(stash);
      this.stashes.delete(microbatch);
    }
  }

  /** A forward pass whose stash is the input alone. */
  private async forwardToRepeat(microbatch: number, input: HostTensor, targets: HostTensor | undefined): Promise<StageOutput> {
    const { x, y } = this.feeds(input, targets);
    const { output, hits } = this.pass(x, y);
    const parameters = this.options.parameters().map((tensor) => this.math.backend.tf.clone(tensor));
    this.stashes.set(microbatch, { samples: x.shape[0], input: x, tape: undefined, targets: y, parameters, halved: undefined });
    return this.output(await this.math.download(output, output.shape), hits, targets);
  }

  private feeds(input: HostTensor, targets: HostTensor | undefined): { x: tfjs.Tensor; y: tfjs.Tensor | undefined } {
    if (this.math.model.isLast && targets === undefined) throw new Error('the last stage takes targets');
    return { x: this.math.upload(input, this.math.model.inputType), y: this.math.model.isLast ? this.math.upload(targets!, this.math.targetType) : undefined };
  }

  /** Forward on a tape; on the last stage up to the loss. */
  private stageTape(x: tfjs.Tensor, y: tfjs.Tensor | undefined, parameters: readonly tfjs.Tensor[]): { tape: Tape; hits: tfjs.Tensor | undefined } {
    let hits: tfjs.Tensor | undefined;
    const watched = this.math.trainable(parameters);
    const tape = this.math.record(this.math.model.isFirst ? watched : [x, ...watched], () => {
      const output = this.math.apply(x, parameters);
      if (y === undefined) return output;
      hits = correctPerSample(this.math.backend, this.math.loss, output, y);
      if (hits !== undefined) this.math.backend.tf.keep(hits);
      return this.math.losses(output, y);
    });
    return { tape, hits };
  }

  /** Forward without a tape. */
  private pass(x: tfjs.Tensor, y: tfjs.Tensor | undefined): { output: tfjs.Tensor; hits: tfjs.Tensor | undefined } {
    const [output, hits] = this.math.backend.tf.tidy(() => {
      const result = this.math.explain(() => this.math.apply(x, this.options.parameters()));
      // A stage that hands its input through must not give that away.
      if (y === undefined) return [result === x ? this.math.backend.tf.clone(result) : result];
      const correct = correctPerSample(this.math.backend, this.math.loss, result, y);
      return correct === undefined ? [this.math.losses(result, y)] : [this.math.losses(result, y), correct];
    });
    return { output, hits };
  }

  private async output(output: HostTensor, hits: tfjs.Tensor | undefined, targets: HostTensor | undefined): Promise<StageOutput> {
    if (!this.math.model.isLast) return { output, stats: undefined };
    const correct = hits === undefined ? [] : await hits.data<'int32'>();
    hits?.dispose();
    return { output, stats: statsOf(this.math.loss, targets!.shape.slice(1), output.data, correct) };
  }

  /** A microbatch's stash, if `gradOutput` is what it waits for. */
  private claim(microbatch: number, gradOutput: HostTensor | undefined): MicrobatchStash {
    const stash = this.stashes.get(microbatch);
    if (stash === undefined) throw new Error(`microbatch ${microbatch} has no forward pass`);
    if (stash.halved !== undefined) throw new Error(`microbatch ${microbatch} has its gradient of the input already`);
    if (!this.math.model.isLast && gradOutput === undefined) throw new Error('a stage that is not the last takes the gradient of its output');
    return stash;
  }

  private seed({ samples }: MicrobatchStash, gradOutput: HostTensor | undefined): tfjs.Tensor {
    return this.math.model.isLast ? this.math.backend.tf.ones([samples]) : this.math.upload(gradOutput!, 'float32');
  }

  /** The tape of a microbatch's forward pass, which runs again where only its input was kept. */
  private tapeOf(stash: MicrobatchStash): Tape {
    if (stash.tape !== undefined) return stash.tape;
    const { tape, hits } = this.stageTape(stash.input, stash.targets, stash.parameters);
    hits?.dispose();
    return (stash.tape = tape);
  }
}
