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
import { targetsPerSample } from '../loss.js';
import { microbatches } from '../microbatches.js';
import { slotValues } from '../slot-values.js';
import type { StageModel } from '../stage-model.js';
import type { TensorFlowContext } from './context.js';
import { DataType } from './graph-def.js';
import { GradientSum } from './gradient-sum.js';
import { GRAPHS_KEPT, graphSize, partSize } from './graph-size.js';
import { checkShape, padded, upload } from './host.js';
import { LeastRecentlyUsed } from './least-recently-used.js';
import { NativeTensor, take, using } from './native-tensor.js';
import { GraphOptimizer } from './optimizer.js';
import { PipelineRunner } from './pipeline-runner.js';
import { targetType } from './traced-model.js';
import { VariableSpace } from './variables.js';
import { traceWholeModel } from './whole-model.js';
import type { WholeModelGraph } from './whole-model.js';

export interface TracedStageOptions {
  readonly loss: LossName;
  readonly maxMicrobatch: number;
  readonly recompute: boolean;
  /** Length = layout.length; copied. */
  readonly parameters: Float32Array;
  readonly disposed?: () => void;
}

type Feeds = Readonly<Record<string, NativeTensor>>;
type Passes = 'both' | 'forward';
type Part = { readonly graph: WholeModelGraph; readonly feeds: Feeds; readonly samples: number };

/** A stage whose passes are TensorFlow graphs, traced once for each size of batch: a call runs as one native call. */
export class TracedStage implements Stage {
  readonly layout: ParameterLayout;
  readonly isFirst: boolean;
  readonly isLast: boolean;
  private readonly loss: LossName;
  private readonly disposed: (() => void) | undefined;
  private readonly maxMicrobatch: number;
  private readonly trainable: readonly ParameterSlot[];
  private readonly parameterSpace: VariableSpace;
  private readonly gradientSpace: VariableSpace;
  private parameters: NativeTensor;
  private readonly gradientSum: GradientSum;
  private readonly pipeline: PipelineRunner;
  private optimizer: GraphOptimizer | undefined;
  private readonly graphs = new LeastRecentlyUsed<WholeModelGraph>(GRAPHS_KEPT, ({ session }) => session.dispose());

  constructor(
    private readonly context: TensorFlowContext,
    private readonly model: StageModel,
    { loss, maxMicrobatch, recompute, parameters, disposed }: TracedStageOptions,
  ) {
    this.loss = loss;
    this.disposed = disposed;
    this.maxMicrobatch = maxMicrobatch;
    this.layout = model.layout;
    this.isFirst = model.isFirst;
    this.isLast = model.isLast;
    this.trainable = model.layout.slots.filter((slot) => slot.trainable);
    this.parameterSpace = new VariableSpace(
      context,
      model.layout.slots.map((slot) => slot.shape),
    );
    this.gradientSpace = new VariableSpace(
      context,
      this.trainable.map((slot) => slot.shape),
    );
    this.parameters = this.parameterSpace.zeros();
    this.parameterSpace.write(this.parameters, this.views(parameters, model.layout.slots));
    this.gradientSum = new GradientSum(this.gradientSpace);
    this.pipeline = new PipelineRunner(context, {
      model,
      loss,
      recompute,
      parameters: () => this.parameters,
      // Of a part of a model only `applyGradient` steps, which leaves alone what passes hold.
      mayStep: () => this.optimizer !== undefined && model.isFirst && model.isLast,
      gradientSum: this.gradientSum,
    });
  }

  get stashBytes(): number {
    return this.pipeline.stashBytes;
  }

  async forward(microbatch: number, input: HostTensor, targets?: HostTensor): Promise<StageOutput> {
    return this.pipeline.forward(microbatch, input, targets);
  }

  async infer(input: HostTensor, targets?: HostTensor): Promise<StageOutput> {
    return this.pipeline.infer(input, targets);
  }

  async backward(microbatch: number, gradOutput?: HostTensor): Promise<HostTensor | undefined> {
    return this.pipeline.backward(microbatch, gradOutput);
  }

  async backwardInput(microbatch: number, gradOutput?: HostTensor): Promise<HostTensor | undefined> {
    return this.pipeline.backwardInput(microbatch, gradOutput);
  }

  async backwardWeights(microbatch: number): Promise<void> {
    this.pipeline.backwardWeights(microbatch);
  }

  async dropPasses(microbatches?: readonly number[]): Promise<void> {
    this.pipeline.drop(microbatches);
    if (microbatches === undefined) this.gradientSum.reset();
  }

  async gradient(batch: Batch): Promise<BatchStats> {
    return this.addGradients(batch, this.gradientSum);
  }

  async step(batch: Batch, hyper: StepHyper): Promise<BatchStats> {
    const optimizer = this.ownOptimizer();
    if (batch.samples <= this.maxMicrobatch) {
      return this.eachPart(batch, 1 / batch.samples, ({ graph, feeds }) =>
        optimizer.step(hyper, (scalars) => graph.session.run({ ...feeds, ...scalars }, [graph.stepped!])[0]),
      );
    }
    const sum = new GradientSum(this.gradientSpace);
    const stats = this.addGradients(batch, sum);
    sum.with((gradient) => optimizer.apply(this.parameters, gradient, batch.samples, hyper));
    sum.reset();
    return stats;
  }

  async evaluate(batch: Batch): Promise<BatchStats> {
    return this.eachPart(batch, 1, ({ graph, feeds }) => graph.session.run(feeds, [graph.stats])[0], 'forward');
  }

  async takeGradient(out: Float32Array): Promise<{ samples: number }> {
    const samples = this.gradientSum.with((gradient, count) => {
      this.gradientSpace.read(gradient, this.trainableViews(out));
      return count;
    });
    this.gradientSum.reset();
    return { samples };
  }

  async readParameters(out: Float32Array, within?: VectorRange): Promise<void> {
    const { slots } = this.layout;
    this.parameterSpace.read(
      this.parameters,
      this.views(out, slots).map((view, i) => (touches(slots[i], within) ? view : undefined)),
    );
  }

  async writeParameters(flat: Float32Array): Promise<void> {
    this.leaveToStashes();
    this.parameterSpace.write(this.parameters, this.views(flat, this.layout.slots));
  }

  async addParameters(difference: Float32Array, within: VectorRange): Promise<void> {
    this.leaveToStashes();
    const values = this.layout.slots.map((slot) => (touches(slot, within) ? slotValues(difference, slot, within) : undefined));
    this.parameterSpace.add(this.parameters, values);
  }

  async applyGradient(gradientSum: Float32Array, samples: number, hyper: StepHyper): Promise<void> {
    const optimizer = this.ownOptimizer();
    this.leaveToStashes();
    const gradient = this.gradientSpace.zeros();
    this.gradientSpace.write(gradient, this.views(gradientSum, this.trainable));
    optimizer.apply(this.parameters, gradient, samples, hyper);
    gradient.dispose();
  }

  async useOptimizer(optimizer: OptimizerSpec): Promise<void> {
    this.optimizer?.dispose();
    this.optimizer = new GraphOptimizer(this.context, this.model, optimizer);
    this.graphs.clear(); // they hold the steps of another optimizer
  }

  async readOptimizerState(out: readonly Float32Array[]): Promise<{ steps: number }> {
    const optimizer = this.ownOptimizer();
    optimizer.read(out.map((moment) => this.trainableViews(moment)).flat());
    return { steps: optimizer.steps };
  }

  async writeOptimizerState(state: readonly Float32Array[], steps: number): Promise<void> {
    this.ownOptimizer().write(state.map((moment) => this.views(moment, this.trainable)).flat(), steps);
  }

  async dispose(): Promise<void> {
    this.pipeline.dispose();
    this.graphs.clear();
    this.optimizer?.dispose();
    this.gradientSum.reset();
    this.parameters.dispose();
    this.parameterSpace.dispose();
    this.gradientSpace.dispose();
    this.disposed?.();
  }

  private addGradients(batch: Batch, sum: GradientSum): BatchStats {
    return this.eachPart(batch, 1, ({ graph, feeds, samples }) => sum.add(graph.gradients!, feeds, [graph.stats], samples)[0]);
  }

  /** Runs a batch in parts of at most the largest microbatch, and adds up what `run` says about each. */
  private eachPart(batch: Batch, sampleWeight: number, run: (part: Part) => NativeTensor, passes: Passes = 'both'): BatchStats {
    if (!this.isFirst || !this.isLast) throw new Error('only a stage that holds the whole model has a loss of its own');
    checkShape('inputs', batch.inputs, this.model.inputShape);
    let [lossSum, correct] = [0, 0];
    for (const part of microbatches(batch, partSize(batch.samples, this.maxMicrobatch))) {
      const graph = this.graph(part, passes);
      const stats = using(this.feeds(part, graph.samples, sampleWeight), (feeds) =>
        take(run({ graph, feeds: { ...feeds, parameters: this.parameters }, samples: part.samples })),
      );
      lossSum += stats[0];
      correct += stats[1];
    }
    const targets = batch.samples * targetsPerSample(this.loss, batch.targets.shape.slice(1));
    return { samples: batch.samples, targets, lossSum, correct };
  }

  private graph({ samples, targets }: Batch, passes: Passes): WholeModelGraph {
    const targetShape = targets.shape.slice(1);
    const size = Math.min(graphSize(samples), this.maxMicrobatch);
    const key = `${size} [${targetShape}]`;
    // A graph of both passes evaluates too; one of forward alone is traced faster and in less memory.
    const backward = passes === 'both' || this.graphs.has(key);
    return this.graphs.get(backward ? key : `${key} forward`, () =>
      traceWholeModel(this.context, this.model, {
        loss: this.loss,
        samples: size,
        targetShape,
        backward,
        optimizer: this.optimizer?.spec,
      }),
    );
  }

  private feeds({ inputs, targets, samples }: Batch, size: number, sampleWeight: number): Feeds {
    const { binding } = this.context;
    const weights = padded(new Float32Array(samples).fill(sampleWeight), samples, size, 'zeros');
    return {
      input: upload(binding, inputs, this.model.inputType, size),
      targets: upload(binding, targets, targetType(this.loss), size),
      sampleWeights: NativeTensor.from(binding, DataType.float, [size], weights),
    };
  }

  /** Written in place, parameters would change under the stashes that alias them: these keep them, the stage goes on with a copy. */
  private leaveToStashes(): void {
    if (!this.pipeline.isHolding) return;
    const views = this.views(new Float32Array(this.layout.length), this.layout.slots);
    this.parameterSpace.read(this.parameters, views);
    this.parameters.dispose();
    this.parameters = this.parameterSpace.zeros();
    this.parameterSpace.write(this.parameters, views);
  }

  private views(flat: Float32Array, slots: readonly ParameterSlot[]): Float32Array[] {
    if (flat.length !== this.layout.length) throw new Error(`the stage has ${this.layout.length} parameters, the vector ${flat.length}`);
    return slots.map(({ offset, length }) => flat.subarray(offset, offset + length));
  }

  /** Views of the trainable slots of a vector that is to be written; the frozen ones become 0. */
  private trainableViews(out: Float32Array): Float32Array[] {
    const views = this.views(out, this.trainable);
    for (const { offset, length, trainable } of this.layout.slots) if (!trainable) out.fill(0, offset, offset + length);
    return views;
  }

  private ownOptimizer(): GraphOptimizer {
    if (this.optimizer === undefined) throw new Error('the stage has no optimizer: call useOptimizer first');
    return this.optimizer;
  }
}
