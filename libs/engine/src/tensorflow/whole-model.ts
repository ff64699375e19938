import type { LossName, OptimizerSpec } from '@longtail/core';
import { record as recordTape } from '../eager/tape.js';
import { correctTargets, sampleLosses, targetsPerSample } from '../loss.js';
import { applyBlocks } from '../stage-model.js';
import type { StageModel } from '../stage-model.js';
import type { TensorFlowContext } from './context.js';
import type { GradientGraph } from './gradient-sum.js';
import { attribute, DataType, nodeOf } from './graph-def.js';
import type { Output } from './graph-def.js';
import { Graph } from './graph.js';
import { addOptimizer } from './optimizer-graph.js';
import { record } from './recorder.js';
import { Session } from './session.js';
import {
  addParameters,
  fedTensor,
  gradientOutputs,
  gradientTypes,
  outputsOf,
  standIn,
  standInParameters,
  targetType,
  tensorsOf,
  tidy,
  trainable,
} from './traced-model.js';
import type { GraphParameters } from './traced-model.js';
import { addToVariables, packVariables, unpackVariables } from './variables.js';

/** What a graph of a whole model is traced for. */
export interface WholeModelTrace {
  readonly loss: LossName;
  readonly samples: number;
  /** Of one sample. */
  readonly targetShape: readonly number[];
  /** Without backward when false: for evaluation. */
  readonly backward: boolean;
  /** Undefined: the graph has no `step`. */
  readonly optimizer: OptimizerSpec | undefined;
}

/**
 * A whole model for batches of one size as a loaded graph. Feeds: `parameters`, `input`, `targets` and `sampleWeights`
 * [samples], the factor of each sample in the gradient, 0 for padding; for a step also `optimizerState` and
 * `optimizerFeeds`.
 */
export interface WholeModelGraph {
  readonly session: Session;
  readonly samples: number;
  /** Float32 [2]: sum of the targets' losses, count of correct targets; padding counts for nothing. Alone it costs a forward pass. */
  readonly stats: Output;
  /** Undefined without backward. */
  readonly gradients: GradientGraph | undefined;
  /** `stats`, with an optimizer step on `parameters` and `optimizerState`. */
  readonly stepped: Output | undefined;
}

/** Forward and backward pass of a model in a graph. */
interface Passes {
  readonly lossSum: Output;
  readonly correct: Output;
  readonly gradients: readonly Output[];
}

export function traceWholeModel(context: TensorFlowContext, model: StageModel, trace: WholeModelTrace): WholeModelGraph {
  const graph = new Graph();
  const parameters = addParameters(graph, model);
  const { lossSum, correct, gradients } = tracePasses(context, graph, model, parameters, trace);
  const stats = graph.float('Pack', [lossSum, correct], { N: attribute.int(2), axis: attribute.int(0) });
  const statsAfter = (nodes: readonly string[]): Output => graph.float('Identity', [stats], {}, nodes);

  const types = gradientTypes(model);
  const sums = trace.backward && {
    gradient: packVariables(graph, gradients, types),
    accumulated: graph.float(
      'Identity',
      [graph.scalar(0)],
      {},
      addToVariables(graph, unpackVariables(graph, 'gradientSum', types.length), gradients),
    ),
  };
  const stepped =
    trace.backward && trace.optimizer
      ? statsAfter(addStep(context, graph, model, parameters, gradients, stats, trace.optimizer))
      : undefined;
  const session = Session.load(context.binding, graph, [stats, ...(sums ? Object.values(sums) : []), ...(stepped ? [stepped] : [])]);
  return { session, samples: trace.samples, stats, gradients: sums ? { session, ...sums } : undefined, stepped };
}

function tracePasses(
  context: TensorFlowContext,
  graph: Graph,
  model: StageModel,
  parameters: GraphParameters,
  trace: WholeModelTrace,
): Passes {
  const { loss, samples, targetShape } = trace;
  return tidy(context, () => {
    const type = targetType(loss);
    const weights = standInParameters(context, model, parameters);
    const input = fedTensor(context, graph, 'input', [samples, ...model.inputShape], model.inputType);
    const targets = fedTensor(context, graph, 'targets', [samples, ...targetShape], type);
    const sampleWeights = fedTensor(context, graph, 'sampleWeights', [samples], 'float32');
    const isSample = graph.float('Sign', [sampleWeights[1]]);
    const counted = standIn(
      context,
      [samples, ...targetShape],
      type,
      type === 'int32' ? maskLabels(graph, targets[1], isSample, targetShape) : targets[1],
    );

    return record(context.backend, graph, [...weights, input, targets, sampleWeights, counted], (recording) => {
      let correct: Output | undefined;
      const tape = recordTape(context.tf, trace.backward ? trainable(model, tensorsOf(weights)) : [], () => {
        const output = applyBlocks(context, model, input[0], tensorsOf(weights));
        const hits = correctTargets(context, loss, output, counted[0]);
        correct =
          hits &&
          graph.add('Cast', [recording.outputOf(hits)], { SrcT: attribute.type(DataType.int32), DstT: attribute.type(DataType.float) });
        return sampleLosses(context, loss, output, targets[0]);
      });
      const gradients = trace.backward ? outputsOf(recording, tape.backward(sampleWeights[0])) : [];
      const lossSum = sum(graph, graph.float('Mul', [recording.outputOf(tape.output), isSample]));
      return {
        lossSum: graph.float('Mul', [lossSum, graph.scalar(targetsPerSample(loss, targetShape))]),
        correct: correct ?? graph.scalar(0),
        gradients: trace.backward ? gradientOutputs(graph, gradientTypes(model), gradients) : [],
      };
    });
  });
}

/** Labels with those of padding turned into −1, which no prediction hits. */
function maskLabels(graph: Graph, labels: Output, isSample: Output, targetShape: readonly number[]): Output {
  const int = { T: attribute.type(DataType.int32) };
  const flags = graph.add('Cast', [isSample], { SrcT: attribute.type(DataType.float), DstT: attribute.type(DataType.int32) });
  const column = graph.add('Reshape', [flags, graph.ints([-1, ...targetShape.map(() => 1)])], int);
  const offset = graph.add('Sub', [column, graph.constant(DataType.int32, [], Int32Array.of(1))], int);
  return graph.add('AddV2', [graph.add('Mul', [labels, column], int), offset], int);
}

function sum(graph: Graph, vector: Output): Output {
  return graph.float('Sum', [vector, graph.ints([0])]);
}

/** Gives the nodes after which all parameters have changed. */
function addStep(
  { fused }: TensorFlowContext,
  graph: Graph,
  model: StageModel,
  parameters: GraphParameters,
  gradients: readonly Output[],
  stats: Output,
  optimizer: OptimizerSpec,
): string[] {
  const values = trainable(model, parameters.values);
  const needed = graph.ancestors([...gradients, stats].map(nodeOf));
  return addOptimizer(graph, optimizer, {
    slots: trainable(model, model.layout.slots),
    parameters: trainable(model, parameters.handles),
    values,
    gradients,
    stateHandles: (count) => unpackVariables(graph, 'optimizerState', count),
    // A reader that the gradient depends on has run by then; the others (a product with the transposed weights) must too,
    // else the update finds its buffer shared and makes a copy. Edges that say nothing new would keep TensorFlow from fusing.
    readersOf: (i) => {
      const done = graph.ancestors([nodeOf(gradients[i])]);
      const readers = graph.users(values[i]).map((node) => node.name);
      return readers.filter((reader) => needed.has(reader) && !done.has(reader));
    },
    fused: fused !== undefined,
    before: [nodeOf(stats)],
  });
}
