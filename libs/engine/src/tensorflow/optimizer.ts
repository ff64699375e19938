import { optimizerStateCount } from '@longtail/core';
import type { OptimizerSpec, StepHyper } from '@longtail/core';
import type { StageModel } from '../stage-model.js';
import type { TensorFlowContext } from './context.js';
import { DataType } from './graph-def.js';
import type { Output } from './graph-def.js';
import { Graph } from './graph.js';
import { NativeTensor, take, using } from './native-tensor.js';
import { addOptimizer, optimizerFeeds } from './optimizer-graph.js';
import { Session } from './session.js';
import { addParameters, gradientTypes, trainable } from './traced-model.js';
import { readVariable, unpackVariables, VariableSpace } from './variables.js';

type Feeds = Readonly<Record<string, NativeTensor>>;

/** A stage's own optimizer: its state on the device, its count of steps here. */
export class GraphOptimizer {
  steps = 0;
  private readonly space: VariableSpace;
  private readonly state: NativeTensor;
  private applying: { readonly session: Session; readonly applied: Output } | undefined;

  constructor(
    private readonly context: TensorFlowContext,
    private readonly model: StageModel,
    readonly spec: OptimizerSpec,
  ) {
    const shapes = gradientTypes(model).map(({ shape }) => shape);
    this.space = new VariableSpace(context, Array.from({ length: optimizerStateCount(spec) }, () => shapes).flat());
    this.state = this.space.zeros();
  }

  /** Counts a step and runs it: `run` gets the feeds that a graph with this optimizer's nodes takes. */
  step<Result>(hyper: StepHyper, run: (feeds: Feeds) => Result): Result {
    const scalars = Object.entries(optimizerFeeds(this.spec, this.steps + 1, hyper));
    const tensors = Object.fromEntries(scalars.map(([name, value]) => [name, this.scalar(value)]));
    const result = using(tensors, (feeds) => run(optimizerStateCount(this.spec) > 0 ? { ...feeds, optimizerState: this.state } : feeds));
    this.steps++;
    return result;
  }

  /** One step on a gradient sum over `samples`. */
  apply(parameters: NativeTensor, gradientSum: NativeTensor, samples: number, hyper: StepHyper): void {
    const { session, applied } = (this.applying ??= this.traceApply());
    using({ scale: this.scalar(1 / samples) }, (scale) => {
      this.step(hyper, (feeds) => take(session.run({ ...feeds, ...scale, parameters, gradientSum }, [applied])[0]));
    });
  }

  /** All first moments, then all second ones. */
  read(out: readonly Float32Array[]): void {
    this.space.read(this.state, out);
  }

  write(views: readonly Float32Array[], steps: number): void {
    this.space.write(this.state, views);
    this.steps = steps;
  }

  dispose(): void {
    this.applying?.session.dispose();
    this.state.dispose();
    this.space.dispose();
  }

  private traceApply(): { session: Session; applied: Output } {
    const graph = new Graph();
    const { handles, values } = addParameters(graph, this.model);
    const types = gradientTypes(this.model);
    const scale = graph.placeholder('scale', DataType.float, []);
    const sums = unpackVariables(graph, 'gradientSum', types.length).map((handle, i) => readVariable(graph, handle, types[i]));
    const nodes = addOptimizer(graph, this.spec, {
      slots: trainable(this.model, this.model.layout.slots),
      parameters: trainable(this.model, handles),
      values: trainable(this.model, values),
      gradients: sums.map((sum) => graph.float('Mul', [sum, scale])),
      stateHandles: (count) => unpackVariables(graph, 'optimizerState', count),
      readersOf: () => [],
      fused: this.context.fused !== undefined,
      before: [],
    });
    const applied = graph.float('Identity', [graph.scalar(0)], {}, nodes);
    return { applied, session: Session.load(this.context.binding, graph, [applied]) };
  }

  private scalar(value: number): NativeTensor {
    return NativeTensor.from(this.context.binding, DataType.float, [], Float32Array.of(value));
  }
}
