import { elementCount } from '@longtail/core';
import type { HostTensor, LossName } from '@longtail/core';
import type { StageModel } from '../stage-model.js';
import type { TensorFlowContext } from './context.js';
import type { GradientSum } from './gradient-sum.js';
import { GRAPHS_KEPT, graphSize } from './graph-size.js';
import { checkShape, padded, upload } from './host.js';
import { LeastRecentlyUsed } from './least-recently-used.js';
import { take, using } from './native-tensor.js';
import type { NativeTensor } from './native-tensor.js';
import { tracePipelineStage } from './pipeline-stage.js';
import type { PipelineGraph } from './pipeline-stage.js';
import { targetType } from './traced-model.js';

interface Stash {
  readonly graph: PipelineGraph;
  readonly variables: NativeTensor;
  /** What backward is fed again. */
  readonly feeds: Readonly<Record<string, NativeTensor>>;
  readonly samples: number;
  readonly size: number;
}

/** Forward and backward passes of a stage's microbatches, in any order. */
export class PipelineRunner {
  private readonly stashes = new Map<number, Stash>();
  private readonly graphs = new LeastRecentlyUsed<PipelineGraph>(GRAPHS_KEPT, ({ session }) => session.dispose());

  constructor(
    private readonly context: TensorFlowContext,
    private readonly model: StageModel,
    private readonly loss: LossName,
    private readonly parameters: NativeTensor,
    private readonly gradientSum: GradientSum,
  ) {}

  forward(microbatch: number, input: HostTensor, targets?: HostTensor): HostTensor {
    if (this.stashes.has(microbatch)) throw new Error(`microbatch ${microbatch} waits for its backward pass`);
    if (this.model.isLast && targets === undefined) throw new Error('the last stage takes targets');
    checkShape('inputs', input, this.model.inputShape);
    const samples = input.shape[0];
    const size = graphSize(samples);
    const used = this.model.isLast ? targets : undefined;
    const graph = this.graph(size, used);
    const feeds = this.uploads(input, used, size);
    const [output, variables] = graph.session.run({ ...feeds, parameters: this.parameters }, [graph.output, graph.stash]);
    for (const [name, tensor] of Object.entries(feeds)) if (!graph.backwardFeeds.has(name)) tensor.dispose();
    const kept = Object.fromEntries(Object.entries(feeds).filter(([name]) => graph.backwardFeeds.has(name)));
    this.stashes.set(microbatch, { graph, variables, feeds: kept, samples, size });
    return firstSamples(take(output) as Float32Array, graph.outputShape, samples);
  }

  backward(microbatch: number, gradOutput?: HostTensor): HostTensor | undefined {
    const stash = this.stashes.get(microbatch);
    if (stash === undefined) throw new Error(`microbatch ${microbatch} has no forward pass`);
    if (!this.model.isLast && gradOutput === undefined) throw new Error('a stage that is not the last takes the gradient of its output');
    const { graph, samples, size } = stash;
    // Padding must not reach the gradient.
    const seed = padded(this.model.isLast ? new Float32Array(samples).fill(1) : (gradOutput!.data as Float32Array), samples, size, 'zeros');
    const outputGradient = upload(this.context.binding, { dtype: 'float32', shape: graph.outputShape, data: seed }, 'float32', size);
    this.stashes.delete(microbatch);
    const fetches = graph.inputGradient ? [graph.inputGradient] : [];
    const gradients = using({ ...stash.feeds, outputGradient, stash: stash.variables }, (feeds) =>
      this.gradientSum.add(graph, feeds, fetches, samples),
    );
    if (this.model.isFirst) return undefined;
    const shape = [size, ...this.model.inputShape];
    return firstSamples(
      gradients.length > 0 ? (take(gradients[0]) as Float32Array) : new Float32Array(elementCount(shape)),
      shape,
      samples,
    );
  }

  dispose(): void {
    for (const { variables, feeds } of this.stashes.values()) [variables, ...Object.values(feeds)].forEach((tensor) => tensor.dispose());
    this.stashes.clear();
    this.graphs.clear();
  }

  private graph(size: number, targets: HostTensor | undefined): PipelineGraph {
    const targetShape = targets?.shape.slice(1);
    return this.graphs.get(`${size} [${targetShape}]`, () =>
      tracePipelineStage(this.context, this.model, { loss: this.loss, samples: size, targetShape }),
    );
  }

  /** Copies: the stash keeps them longer than the caller's call. */
  private uploads(input: HostTensor, targets: HostTensor | undefined, size: number): Record<string, NativeTensor> {
    const copy = (tensor: HostTensor): HostTensor => ({ ...tensor, data: tensor.data.slice() });
    return {
      input: upload(this.context.binding, copy(input), this.model.inputType, size),
      ...(targets && { targets: upload(this.context.binding, copy(targets), targetType(this.loss), size) }),
    };
  }
}

function firstSamples(data: Float32Array, [, ...sampleShape]: readonly number[], samples: number): HostTensor {
  return { dtype: 'float32', shape: [samples, ...sampleShape], data: data.subarray(0, samples * elementCount(sampleShape)) };
}
