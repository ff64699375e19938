import { elementCount } from '@longtail/core';
import type { LossName } from '@longtail/core';
import { record as recordTape } from '../eager/tape.js';
import { correctPerSample, sampleLosses } from '../loss.js';
import { applyBlocks } from '../stage-model.js';
import type { StageModel } from '../stage-model.js';
import type { TensorFlowContext } from './context.js';
import type { GradientGraph } from './gradient-sum.js';
import { nodeOf } from './graph-def.js';
import type { Output } from './graph-def.js';
import { Graph } from './graph.js';
import { cutPasses, fresh } from './pipeline-cut.js';
import type { FeedNames, KeptSet, RecordedPasses } from './pipeline-cut.js';
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
import { addToVariables, floats, packVariables, unpackVariables } from './variables.js';

export interface PipelineTrace {
  readonly loss: LossName;
  readonly samples: number;
  /** Of one sample; undefined on a stage that is not the last. */
  readonly targetShape: readonly number[] | undefined;
  /** An optimizer may change the weights in place between forward and backward. */
  readonly copyWeights: boolean;
}

/**
 * A stage for microbatches of one size as a loaded graph, whose forward and backward pass run apart, the latter whole or
 * in two halves. Feeds of forward: `parameters`, `input`, on the last stage `targets`. Feeds of backward: `stashInput`,
 * `stash`, `outputGradient`, `input` and `targets` where used, and `gradientSum` to add to it; of the weights' half
 * `stash`, `between` and `weightFeeds`.
 *
 * A stash aliases what it holds, but for the weights that backward reads where a step may change them in place
 * (`copyWeights`: TensorFlow's own updates would copy what is shared, the fused one does not): backward always uses the
 * weights of its forward. `weights` holds all of them so, for a forward pass to be run again.
 */
export interface PipelineGraph {
  readonly session: Session;
  /** Float32: activations, on the last stage the loss of each sample. */
  readonly output: Output;
  readonly outputShape: readonly number[];
  /** Int32 [samples], correct targets of each sample: on the last stage, where targets are labels. */
  readonly hits: Output | undefined;
  readonly weights: Output;
  readonly stashInput: KeptSet;
  readonly stash: KeptSet;
  readonly between: KeptSet | undefined;
  readonly inputGradient: Output | undefined;
  /** Gradient of the weights, together with `inputGradient` the backward pass. */
  readonly gradients: GradientGraph;
  /** The same out of what `inputGradient` left behind. */
  readonly halfGradients: GradientGraph;
  readonly backwardFeeds: FeedNames;
  readonly weightFeeds: FeedNames;
  readonly feedBytes: { readonly input: number; readonly targets: number };
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

  const cut = cutPasses(graph, passes, trace.copyWeights);
  const values = trace.copyWeights ? parameters.values.map((value) => fresh(graph, value)) : parameters.values;
  const weights = packVariables(graph, values, floats(model.layout.slots.map((slot) => slot.shape)));
  const sumHandles = unpackVariables(graph, 'gradientSum', gradientTypes(model).length);
  const [whole, half] = [passes.gradients, cut.halfGradients].map((gradients) => addSums(graph, model, gradients, sumHandles));
  const { output, outputShape, hits, inputGradient } = passes;
  const sets = [cut.stashInput, cut.stash, cut.between].flatMap((set) => (set ? [set.variables] : []));
  const optional = [hits, inputGradient].filter((fetch) => fetch !== undefined);
  const session = Session.load(context.binding, graph, [output, weights, ...sets, ...optional, ...Object.values(whole), ...Object.values(half)]);
  return {
    ...cut,
    session,
    output,
    outputShape,
    hits,
    weights,
    inputGradient,
    gradients: { session, ...whole },
    halfGradients: { session, ...half },
    feedBytes: {
      input: 4 * trace.samples * elementCount(model.inputShape),
      targets: 4 * trace.samples * elementCount(trace.targetShape ?? [0]),
    },
  };
}

function addSums(
  graph: Graph,
  model: StageModel,
  given: readonly (Output | undefined)[],
  sumHandles: readonly Output[],
): { gradient: Output; accumulated: Output } {
  const types = gradientTypes(model);
  const gradients = gradientOutputs(graph, types, given);
  const added = addToVariables(graph, sumHandles, gradients);
  return { gradient: packVariables(graph, gradients, types), accumulated: graph.float('Identity', [graph.scalar(0)], {}, added) };
}

interface Passes extends RecordedPasses {
  readonly output: Output;
  readonly outputShape: readonly number[];
  readonly hits: Output | undefined;
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
    let hits: Output | undefined;
    const tape = recordTape(context.tf, model.isFirst ? watched : [input[0], ...watched], () => {
      const output = applyBlocks(context, model, input[0], tensorsOf(weights));
      if (!model.isLast) return output;
      const correct = correctPerSample(context, loss, output, targets[0][0]);
      hits = correct && recording.outputOf(correct);
      return sampleLosses(context, loss, output, targets[0][0]);
    });
    const [output, outputShape] = [fetchable(graph, recording.outputOf(tape.output)), tape.output.shape];
    const cut = graph.size;
    const [seed, seedOutput] = fedTensor(context, graph, 'outputGradient', outputShape, 'float32');
    recording.bind(seed, seedOutput);
    const gradients = outputsOf(recording, tape.backward(seed));
    const ofInput = model.isFirst ? undefined : gradients.shift();
    const inputGradient = ofInput && fetchable(graph, ofInput);
    return { output, outputShape, hits, inputGradient, gradients, cut, end: graph.size };
  });
}

/** TensorFlow gives nobody what he feeds, which a block that hands its input through would ask for. */
function fetchable(graph: Graph, output: Output): Output {
  return graph.node(nodeOf(output)).op === 'Placeholder' ? graph.float('Identity', [output]) : output;
}
