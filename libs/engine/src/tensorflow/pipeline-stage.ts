import type { LossName } from '@longtail/core';
import { record as recordTape } from '../eager/tape.js';
import { sampleLosses } from '../loss.js';
import { applyBlocks } from '../stage-model.js';
import type { StageModel } from '../stage-model.js';
import type { TensorFlowContext } from './context.js';
import { nodeOf } from './graph-def.js';
import type { Output } from './graph-def.js';
import { Graph } from './graph.js';
import { record } from './recorder.js';
import type { TracedTensor } from './recorder.js';
import { Session } from './session.js';
import {
  addParameters,
  fedTensor,
  gradientOutputs,
  gradientTypes,
  outputsOf,
  standInParameters,
  targetType,
  tensorsOf,
  tidy,
  trainable,
} from './traced-model.js';
import { addToVariables, packVariables, readVariable, unpackVariables } from './variables.js';

export interface PipelineTrace {
  readonly loss: LossName;
  readonly samples: number;
  /** Of one sample; undefined on a stage that is not the last. */
  readonly targetShape: readonly number[] | undefined;
}

/**
 * A stage for microbatches of one size as a loaded graph, whose forward and backward pass run apart. Feeds of forward:
 * `parameters`, `input`, on the last stage `targets`. Feeds of backward: `stash`, `outputGradient`, `input` and `targets`
 * where used, and `gradientSum` to add to it.
 *
 * The stash aliases what it holds, but for the weights that backward reads: an update in between changes those, and
 * backward always uses the weights of its forward. (TensorFlow's own updates would copy what is shared, the fused one does not.)
 */
export interface PipelineGraph {
  readonly session: Session;
  /** Float32: activations, on the last stage the loss of each sample. */
  readonly output: Output;
  readonly outputShape: readonly number[];
  /** Variable set of what backward needs. */
  readonly stash: Output;
  /** Undefined on the first stage, and where the output does not depend on the input. */
  readonly inputGradient: Output | undefined;
  /** Gradient, a fresh variable set of `gradientTypes`. */
  readonly gradient: Output;
  /** A scalar, with the gradient added to `gradientSum`. */
  readonly accumulated: Output;
  /** Which of `input` and `targets` backward reads. */
  readonly backwardFeeds: ReadonlySet<string>;
}

export function tracePipelineStage(context: TensorFlowContext, model: StageModel, trace: PipelineTrace): PipelineGraph {
  const graph = new Graph();
  const parameters = addParameters(graph, model);
  const passes = tidy(context, () => {
    const weights = standInParameters(context, model, parameters);
    const input = fedTensor(context, graph, 'input', [trace.samples, ...model.inputShape], model.inputType);
    const targets = model.isLast
      ? [fedTensor(context, graph, 'targets', [trace.samples, ...trace.targetShape!], targetType(trace.loss))]
      : [];
    return tracePasses(context, graph, model, trace, { weights, input, targets });
  });

  const { stash, backwardFeeds } = cutStash(graph, passes, context.fused !== undefined);
  const types = gradientTypes(model);
  const gradients = gradientOutputs(graph, types, passes.gradients);
  const gradient = packVariables(graph, gradients, types);
  const accumulated = graph.float(
    'Identity',
    [graph.scalar(0)],
    {},
    addToVariables(graph, unpackVariables(graph, 'gradientSum', types.length), gradients),
  );
  const outputs = { output: passes.output, stash, gradient, accumulated };
  const fetches = [...Object.values(outputs), ...(passes.inputGradient ? [passes.inputGradient] : [])];
  return {
    ...outputs,
    outputShape: passes.outputShape,
    inputGradient: passes.inputGradient,
    backwardFeeds,
    session: Session.load(context.binding, graph, fetches),
  };
}

interface Passes {
  readonly output: Output;
  readonly outputShape: readonly number[];
  readonly inputGradient: Output | undefined;
  readonly gradients: readonly (Output | undefined)[];
  /** Nodes before this one belong to the forward pass. */
  readonly cut: number;
}

function tracePasses(
  context: TensorFlowContext,
  graph: Graph,
  model: StageModel,
  { loss }: PipelineTrace,
  { weights, input, targets }: { weights: TracedTensor[]; input: TracedTensor; targets: TracedTensor[] },
): Passes {
  return record(context.backend, graph, [...weights, input, ...targets], (recording) => {
    const watched = trainable(model, tensorsOf(weights));
    const tape = recordTape(context.tf, model.isFirst ? watched : [input[0], ...watched], () => {
      const output = applyBlocks(context, model, input[0], tensorsOf(weights));
      return model.isLast ? sampleLosses(context, loss, output, targets[0][0]) : output;
    });
    const [output, outputShape] = [recording.outputOf(tape.output), tape.output.shape];
    const cut = graph.size;
    const [seed, seedOutput] = fedTensor(context, graph, 'outputGradient', outputShape, 'float32');
    recording.bind(seed, seedOutput);
    const gradients = outputsOf(recording, tape.backward(seed));
    const inputGradient = model.isFirst ? undefined : gradients.shift();
    return { output, outputShape, inputGradient, gradients, cut };
  });
}

/**
 * Cuts backward off forward: what backward reads of forward it gets from the stash. Constants it keeps, and `input` and
 * `targets` are fed again.
 */
function cutStash(
  graph: Graph,
  { cut, gradients, inputGradient }: Passes,
  copyWeights: boolean,
): { stash: Output; backwardFeeds: ReadonlySet<string> } {
  const end = graph.size;
  const forward = new Map(graph.slice(0, cut).map((node) => [node.name, node]));
  // Gradients are linear in `outputGradient`, so each of them is itself behind the cut.
  const wanted = [...gradients, inputGradient].filter((output) => output !== undefined);
  const needed = graph.ancestors(wanted.map(nodeOf));
  const crossing = new Set(
    graph
      .slice(cut, end)
      .filter((node) => needed.has(node.name))
      .flatMap((node) => node.inputs)
      .filter((output) => forward.has(nodeOf(output))),
  );
  const opOf = (output: Output): string => forward.get(nodeOf(output))!.op;
  const saved = [...crossing].filter((output) => opOf(output) !== 'Const' && opOf(output) !== 'Placeholder');
  const backwardFeeds = new Set([...crossing].filter((output) => opOf(output) === 'Placeholder').map(nodeOf));

  const types = saved.map((output) => graph.typeOf(output));
  const handles = unpackVariables(graph, 'stash', saved.length);
  graph.rewire(cut, end, new Map(saved.map((output, i) => [output, readVariable(graph, handles[i], types[i])])));
  const kept = saved.map((output) => (copyWeights && aliasesVariable(graph, output) ? graph.add('LongtailFresh', [output], {}) : output));
  return { stash: packVariables(graph, kept, types), backwardFeeds };
}

/** Ops whose output is their first input's memory. */
const ALIASING = new Set(['Reshape', 'Identity', 'ExpandDims', 'Squeeze', 'StopGradient']);

function aliasesVariable(graph: Graph, output: Output): boolean {
  const { op, inputs } = graph.node(nodeOf(output));
  return op === 'ReadVariableOp' || (ALIASING.has(op) && aliasesVariable(graph, inputs[0]));
}
