import { elementCount } from '@longtail/core';
import type { HostTensor, LossName, StageOutput } from '@longtail/core';
import { statsOf } from '../loss.js';
import type { StageModel } from '../stage-model.js';
import type { TensorFlowContext } from './context.js';
import type { GradientSum } from './gradient-sum.js';
import { GRAPHS_KEPT, graphSize } from './graph-size.js';
import { checkShape, padded, upload } from './host.js';
import { LeastRecentlyUsed } from './least-recently-used.js';
import { take } from './native-tensor.js';
import type { NativeTensor } from './native-tensor.js';
import { tracePipelineStage } from './pipeline-stage.js';
import type { PipelineGraph } from './pipeline-stage.js';
import { Stash } from './stash.js';
import { targetType } from './traced-model.js';

export interface PipelineRunnerOptions {
  readonly model: StageModel;
  readonly loss: LossName;
  readonly recompute: boolean;
  /** The variable set in force. */
  parameters(): NativeTensor;
  /** Whether the stage has an optimizer, which may update the parameters in place. */
  mayStep(): boolean;
  readonly gradientSum: GradientSum;
}

/** Forward and backward passes of a stage's microbatches, in any order. */
export class PipelineRunner {
  private readonly stashes = new Map<number, Stash>();
  private readonly graphs = new LeastRecentlyUsed<PipelineGraph>(GRAPHS_KEPT, ({ session }) => session.dispose());

  constructor(
    private readonly context: TensorFlowContext,
    private readonly options: PipelineRunnerOptions,
  ) {}

  /** Whether any microbatch waits for its backward pass. */
  get isHolding(): boolean {
    return this.stashes.size > 0;
  }

  get stashBytes(): number {
    let bytes = 0;
    for (const stash of this.stashes.values()) bytes += stash.bytes;
    return bytes;
  }

  forward(microbatch: number, input: HostTensor, targets?: HostTensor): StageOutput {
    if (this.stashes.has(microbatch)) throw new Error(`microbatch ${microbatch} waits for its backward pass`);
    const { graph, feeds, samples, size } = this.feed(input, targets);
    const stash = new Stash(graph, feeds, samples, size);
    try {
      const kept = this.options.recompute ? { parameters: graph.weights } : stash.forwardSets;
      const results = stash.run({ parameters: this.options.parameters() }, kept, fetchesOf(graph));
      stash.trim();
      this.stashes.set(microbatch, stash);
      return this.result(graph, results, samples, targets);
    } catch (error) {
      stash.drop();
      throw error;
    }
  }

  infer(input: HostTensor, targets?: HostTensor): StageOutput {
    const { graph, feeds, samples, size } = this.feed(input, targets);
    const passing = new Stash(graph, feeds, samples, size);
    try {
      return this.result(graph, passing.run({ parameters: this.options.parameters() }, {}, fetchesOf(graph)), samples, targets);
    } finally {
      passing.drop();
    }
  }

  backward(microbatch: number, gradOutput?: HostTensor): HostTensor | undefined {
    const stash = this.claim(microbatch, gradOutput);
    const { graph, samples } = stash;
    this.stashes.delete(microbatch);
    try {
      stash.recompute();
      const fetches = graph.inputGradient ? [graph.inputGradient] : [];
      const [inputGradient] = this.options.gradientSum.add(graph.gradients, stash.held, fetches, samples);
      return this.inputGradient(stash, inputGradient);
    } finally {
      stash.drop();
    }
  }

  backwardInput(microbatch: number, gradOutput?: HostTensor): HostTensor | undefined {
    const stash = this.claim(microbatch, gradOutput);
    // Without a gradient of the input there is nothing to hurry with: the other half is the whole.
    const inputGradient = stash.graph.inputGradient === undefined ? undefined : stash.halve();
    return this.inputGradient(stash, inputGradient);
  }

  backwardWeights(microbatch: number): void {
    const stash = this.stashes.get(microbatch);
    if (stash?.hasOutputGradient !== true) throw new Error(`microbatch ${microbatch} has no gradient of its input yet`);
    this.stashes.delete(microbatch);
    try {
      stash.recompute();
      const graph = stash.isHalved ? stash.graph.halfGradients : stash.graph.gradients;
      this.options.gradientSum.add(graph, stash.held, [], stash.samples);
    } finally {
      stash.drop();
    }
  }

  drop(microbatches: readonly number[] = [...this.stashes.keys()]): void {
    for (const microbatch of microbatches) {
      this.stashes.get(microbatch)?.drop();
      this.stashes.delete(microbatch);
    }
  }

  dispose(): void {
    this.drop();
    this.graphs.clear();
  }

  /** A microbatch's stash, with the gradient of its output. */
  private claim(microbatch: number, gradOutput: HostTensor | undefined): Stash {
    const { isLast } = this.options.model;
    const stash = this.stashes.get(microbatch);
    if (stash === undefined) throw new Error(`microbatch ${microbatch} has no forward pass`);
    if (stash.hasOutputGradient) throw new Error(`microbatch ${microbatch} has its gradient of the input already`);
    if (!isLast && gradOutput === undefined) throw new Error('a stage that is not the last takes the gradient of its output');
    const { samples, size } = stash;
    const shape = stash.graph.outputShape;
    if (!isLast) checkShape('gradient of the output', gradOutput!, shape.slice(1));
    // Padding must not reach the gradient. A copy: the weights' half may read it after the caller's call.
    const values = isLast ? new Float32Array(samples).fill(1) : (gradOutput!.data.slice() as Float32Array);
    const data = padded(values, samples, size, 'zeros');
    stash.keep('outputGradient', upload(this.context.binding, { dtype: 'float32', shape, data }, 'float32', size), data.byteLength);
    return stash;
  }

  private feed(input: HostTensor, targets: HostTensor | undefined) {
    const { model, loss } = this.options;
    if (model.isLast && targets === undefined) throw new Error('the last stage takes targets');
    checkShape('inputs', input, model.inputShape);
    const samples = input.shape[0];
    const size = graphSize(samples);
    const used = model.isLast ? targets : undefined;
    const targetShape = used?.shape.slice(1);
    const copyWeights = this.context.fused !== undefined && this.options.mayStep();
    const graph = this.graphs.get(`${size} [${targetShape}] ${copyWeights}`, () =>
      tracePipelineStage(this.context, model, { loss, samples: size, targetShape, copyWeights }),
    );
    return { graph, feeds: this.uploads(input, used, size), samples, size };
  }

  /** Copies: the stash keeps them longer than the caller's call. */
  private uploads(input: HostTensor, targets: HostTensor | undefined, size: number): Record<string, NativeTensor> {
    const { model, loss } = this.options;
    const copy = (tensor: HostTensor): HostTensor => ({ ...tensor, data: tensor.data.slice() });
    return {
      input: upload(this.context.binding, copy(input), model.inputType, size),
      ...(targets && { targets: upload(this.context.binding, copy(targets), targetType(loss), size) }),
    };
  }

  private result(graph: PipelineGraph, [output, hits]: readonly NativeTensor[], samples: number, targets: HostTensor | undefined): StageOutput {
    const values = firstSamples(take(output) as Float32Array, graph.outputShape, samples);
    const correct = hits === undefined ? [] : (take(hits) as Int32Array).subarray(0, samples);
    const { model, loss } = this.options;
    return { output: values, stats: model.isLast ? statsOf(loss, targets!.shape.slice(1), values.data, correct) : undefined };
  }

  private inputGradient({ size, samples }: Stash, gradient: NativeTensor | undefined): HostTensor | undefined {
    const { model } = this.options;
    if (model.isFirst) return undefined;
    const shape = [size, ...model.inputShape];
    const data = gradient === undefined ? new Float32Array(elementCount(shape)) : (take(gradient) as Float32Array);
    return firstSamples(data, shape, samples);
  }
}

function fetchesOf({ output, hits }: PipelineGraph) {
  return hits === undefined ? [output] : [output, hits];
}

function firstSamples(data: Float32Array, [, ...sampleShape]: readonly number[], samples: number): HostTensor {
  return { dtype: 'float32', shape: [samples, ...sampleShape], data: data.subarray(0, samples * elementCount(sampleShape)) };
}
