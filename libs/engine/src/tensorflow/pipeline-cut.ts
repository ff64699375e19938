import { elementCount } from '@longtail/core';
import { DataType, nodeOf } from './graph-def.js';
import type { Output } from './graph-def.js';
import type { Graph } from './graph.js';
import { packVariables, readVariable, unpackVariables } from './variables.js';

/** A stage's forward and backward pass as they were recorded, one behind the other. */
export interface RecordedPasses {
  /** Undefined on the first stage, and where the output does not depend on the input. */
  readonly inputGradient: Output | undefined;
  /** One for each trainable tensor; undefined where the output does not depend on it. */
  readonly gradients: readonly (Output | undefined)[];
  /** Nodes [cut, end) belong to the backward pass, those before to the forward pass. */
  readonly cut: number;
  readonly end: number;
}

/** A variable set that one part of a pass leaves for another. */
export interface KeptSet {
  readonly variables: Output;
  /** Memory that the set holds alone: weights that it aliases do not count, nor feeds that are kept beside it. */
  readonly bytes: number;
}

/** What a half of the backward pass reads of what its run is fed. */
export type FeedNames = ReadonlySet<string>;

export interface CutPasses {
  /** What forward leaves for the gradient of the input alone (fed back as `stashInput`) … */
  readonly stashInput: KeptSet;
  /** … and for the gradients of the weights, which the other half may read too (fed back as `stash`). */
  readonly stash: KeptSet;
  /** What the input's half leaves for the weights' (fed back as `between`); undefined without an input's half. */
  readonly between: KeptSet | undefined;
  /** Gradients of the weights out of `stash` and `between`, where backward runs in halves. */
  readonly halfGradients: readonly (Output | undefined)[];
  /** Of `input`, `targets` and `outputGradient`: what backward reads at all, and what the weights' half does. */
  readonly backwardFeeds: FeedNames;
  readonly weightFeeds: FeedNames;
}

/** Ops whose output shares its input's memory. */
const ALIASING = new Set(['Identity', 'Reshape', 'ExpandDims', 'Squeeze', 'StopGradient']);

/**
 * Cuts backward off forward, and its two halves (Qi et al. 2024) from each other. The input's half is what the gradient of
 * the input depends on; what else the weights' gradients need is the other half, a copy of those nodes that reads what the
 * first half left. What depends on no feed is computed again, or folded by TensorFlow: it takes no room in a stash.
 */
export function cutPasses(graph: Graph, passes: RecordedPasses, copyWeights: boolean): CutPasses {
  const { cut, end, inputGradient } = passes;
  const { forInput, forWeights, between, weightHalf, backwardFeeds, weightFeeds } = findCrossings(graph, passes);
  // While the recorded graph still leads from what is kept to what it aliases. Feeds that are kept themselves count there.
  const seen = new Set<Output>([...backwardFeeds, ...weightFeeds].map((name): Output => `${name}:0`));
  const [inputBytes, weightBytes, betweenBytes] = [forInput, forWeights, between].map((set) => bytesOf(graph, set, seen, copyWeights));

  const whole = (outputs: readonly Output[]): Output[] => outputs.map((output) => (copyWeights && isWeight(graph, output) ? fresh(graph, output) : output));
  graph.rewire(cut, end, new Map([...readBack(graph, 'stashInput', forInput), ...readBack(graph, 'stash', forWeights)]));
  return {
    stashInput: { variables: pack(graph, whole(forInput), forInput), bytes: inputBytes },
    stash: { variables: pack(graph, whole(forWeights), forWeights), bytes: weightBytes },
    between: inputGradient === undefined ? undefined : { variables: pack(graph, between), bytes: betweenBytes },
    halfGradients: copyHalf(graph, passes, weightHalf, readBack(graph, 'between', between)),
    backwardFeeds,
    weightFeeds,
  };
}

interface Crossings {
  /** From forward to the input's half alone, and to the weights' half. */
  readonly forInput: readonly Output[];
  readonly forWeights: readonly Output[];
  /** From the input's half to the weights'. */
  readonly between: readonly Output[];
  /** Nodes of the weights' half. */
  readonly weightHalf: ReadonlySet<string>;
  readonly backwardFeeds: FeedNames;
  readonly weightFeeds: FeedNames;
}

function findCrossings(graph: Graph, { cut, end, gradients, inputGradient }: RecordedPasses): Crossings {
  const [forward, backward] = [namesOf(graph, 0, cut), namesOf(graph, cut, end)];
  const behindCut = (outputs: readonly Output[]): string[] => [...graph.ancestors(outputs.map(nodeOf))].filter((name) => backward.has(name));
  const given = gradients.filter((output) => output !== undefined);
  const inputHalf = new Set(behindCut(inputGradient === undefined ? [] : [inputGradient]));
  const weightHalf = new Set(behindCut(given).filter((name) => !inputHalf.has(name)));

  const read = (half: ReadonlySet<string>, from: ReadonlySet<string>): Output[] => {
    const inputs = graph.slice(cut, end).flatMap((node) => (half.has(node.name) ? node.inputs : []));
    return [...new Set(inputs)].filter((output) => from.has(nodeOf(output)));
  };
  const [toInput, toWeights] = [read(inputHalf, forward), read(weightHalf, forward)];
  const across = [...new Set([...read(weightHalf, inputHalf), ...given.filter((output) => inputHalf.has(nodeOf(output)))])];

  const varies = variableNodes(graph);
  const isFed = (output: Output): boolean => graph.node(nodeOf(output)).op === 'Placeholder';
  const kept = (outputs: readonly Output[]): Output[] => outputs.filter((output) => varies.has(nodeOf(output)) && !isFed(output));
  const fed = (outputs: readonly Output[]): string[] => outputs.filter(isFed).map(nodeOf);
  const forWeights = kept(toWeights);
  return {
    forInput: kept(toInput).filter((output) => !forWeights.includes(output)),
    forWeights,
    between: kept(across),
    weightHalf,
    backwardFeeds: new Set(fed([...toInput, ...toWeights])),
    weightFeeds: new Set([...fed([...toWeights, ...across]), ...[...weightHalf].filter((name) => name === 'outputGradient')]),
  };
}

function namesOf(graph: Graph, start: number, end: number): Set<string> {
  return new Set(graph.slice(start, end).map((node) => node.name));
}

/** Nodes whose value differs from run to run. */
function variableNodes(graph: Graph): Set<string> {
  const varies = new Set<string>();
  for (const { name, op, inputs } of graph.slice(0)) {
    if (op === 'Placeholder' || inputs.some((input) => varies.has(nodeOf(input)))) varies.add(name);
  }
  return varies;
}

/** The weights' half once more, with what the input's half computes read from `between`. */
function copyHalf(
  graph: Graph,
  { cut, end, gradients }: RecordedPasses,
  half: ReadonlySet<string>,
  between: ReadonlyMap<Output, Output>,
): (Output | undefined)[] {
  const copies = new Map<string, string>();
  const moved = (output: Output): Output => {
    const copy = copies.get(nodeOf(output));
    return between.get(output) ?? (copy === undefined ? output : `${copy}:${Number(output.slice(output.lastIndexOf(':') + 1))}`);
  };
  for (const { name, op, inputs, after, attributes, outputTypes } of graph.slice(cut, end)) {
    if (!half.has(name) || op === 'Const') continue;
    const before = after.map((earlier) => copies.get(earlier) ?? earlier);
    copies.set(name, nodeOf(graph.add(op, inputs.map(moved), attributes, { after: before, outputTypes })));
  }
  return gradients.map((output) => output && moved(output));
}

/** Where the outputs of a set are read from when it is fed back. */
function readBack(graph: Graph, name: string, outputs: readonly Output[]): Map<Output, Output> {
  const handles = unpackVariables(graph, name, outputs.length);
  return new Map(outputs.map((output, i) => [output, readVariable(graph, handles[i], graph.typeOf(output))]));
}

/** A copy, in memory that no update in place reaches. */
export function fresh(graph: Graph, output: Output): Output {
  return graph.add('LongtailFresh', [output], {});
}

function isWeight(graph: Graph, output: Output): boolean {
  return graph.node(nodeOf(rootOf(graph, output))).op === 'ReadVariableOp';
}

/** A set of values, of the types of the outputs that they stand for. */
function pack(graph: Graph, values: readonly Output[], outputs: readonly Output[] = values): Output {
  return packVariables(
    graph,
    values,
    outputs.map((output) => graph.typeOf(output)),
  );
}

function bytesOf(graph: Graph, outputs: readonly Output[], seen: Set<Output>, countWeights: boolean): number {
  let bytes = 0;
  for (const output of outputs) {
    const root = rootOf(graph, output);
    const { op } = graph.node(nodeOf(root));
    if (seen.has(root) || (op === 'ReadVariableOp' && !countWeights) || op === 'Const') continue;
    seen.add(root);
    const { dtype, shape } = graph.typeOf(root);
    bytes += elementCount(shape) * (dtype === DataType.bool || dtype === DataType.uint8 ? 1 : 4);
  }
  return bytes;
}

function rootOf(graph: Graph, output: Output): Output {
  const { op, inputs } = graph.node(nodeOf(output));
  return ALIASING.has(op) ? rootOf(graph, inputs[0]) : output;
}
