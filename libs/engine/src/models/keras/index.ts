import { resolve } from 'node:path';
import { nearestName } from '@longtail/core';
import type { ModelSpec } from '@longtail/core';
import type * as tf from '@tensorflow/tfjs';
import type { Block, BlockContext, Model, ModelPurpose, ParameterSpec } from '../../block.js';
import { LayerReader } from './layer.js';
import type { KerasLayer } from './layer.js';
import { LAYERS } from './layers.js';
import { kerasError, readTopology } from './topology.js';
import type { KerasNode, KerasTopology } from './topology.js';
import { readWeights } from './weights.js';

interface BuiltLayer extends KerasLayer {
  readonly node: KerasNode;
}

/**
 * A Keras model as blocks. Each layer of a chain is a block; where a graph branches, the layers between two points that
 * a single tensor crosses are one. Batch norm keeps its statistics and dropout is off: a sample's gradient then depends
 * on that sample alone. A softmax at the very end is left out when training on cross-entropy, which takes logits.
 */
export function keras(spec: Extract<ModelSpec, { type: 'keras' }>, purpose: ModelPurpose): Model {
  const path = resolve(spec.path);
  const topology = readTopology(path);
  const [input, ...rest] = topology.nodes;
  if (input.className !== 'InputLayer') throw kerasError(path, `its first layer ${input.name} (${input.className}) is no input`);
  const inputShape = readInputShape(path, input, purpose);
  const nodes = purpose.loss === 'cross-entropy' ? withLogits(rest, topology.output) : rest;
  const layers = buildLayers(path, input, inputShape, nodes);
  const values = spec.weights === 'file' ? fileWeights(path, topology) : undefined;
  const blocks = cutPoints(layers).map((group) => block(path, group, values));
  return { blocks, inputShape, inputType: layers[0].node.className === 'Embedding' ? 'int32' : 'float32' };
}

/** Extents that the file leaves open (`null`) are those of the data. */
function readInputShape(path: string, input: KerasNode, purpose: ModelPurpose): readonly number[] {
  const batchShape = input.config.batch_input_shape ?? input.config.batch_shape;
  if (!Array.isArray(batchShape)) throw kerasError(path, 'it does not say the shape of its input', 'Build the model (give its first layer an inputShape) before saving it.');
  return (batchShape.slice(1) as (number | null)[]).map((extent, i) => extent ?? purpose.inputShape[i] ?? 1);
}

function withLogits(nodes: readonly KerasNode[], output: string): readonly KerasNode[] {
  return nodes.map((node) => {
    if (node.name !== output) return node;
    if (node.className === 'Softmax') return { ...node, className: 'Activation', config: { activation: 'linear' } };
    return node.config.activation === 'softmax' ? { ...node, config: { ...node.config, activation: 'linear' } } : node;
  });
}

function buildLayers(path: string, input: KerasNode, inputShape: readonly number[], nodes: readonly KerasNode[]): readonly BuiltLayer[] {
  const shapes = new Map([[input.name, inputShape]]);
  const layers = nodes.map((node) => {
    const build = LAYERS[node.className];
    if (build === undefined) {
      const nearest = nearestName(node.className, Object.keys(LAYERS));
      throw kerasError(path, `layer ${node.name} has class ${node.className}, which is not supported`, nearest ? `The nearest class that is: ${nearest}.` : `Supported: ${Object.keys(LAYERS).join(', ')}.`);
    }
    const layer = build(new LayerReader(path, node, node.inputs.map((name) => shapes.get(name)!)));
    shapes.set(node.name, layer.outputShape);
    return { ...layer, node };
  });
  if (layers.length === 0) throw kerasError(path, 'it has no layers behind its input');
  return layers;
}

function fileWeights(path: string, topology: KerasTopology): ReadonlyMap<string, Float32Array> {
  if (topology.weights.length === 0) throw kerasError(path, 'it holds no weights', 'Set weights: fresh to train from new ones.');
  return readWeights(path, topology.weights);
}

/** Groups of layers between points that one tensor crosses. */
function cutPoints(layers: readonly BuiltLayer[]): readonly (readonly BuiltLayer[])[] {
  const lastUse = new Map<string, number>();
  layers.forEach((layer, i) => layer.node.inputs.forEach((name) => lastUse.set(name, i)));
  const groups: BuiltLayer[][] = [];
  let group: BuiltLayer[] = [];
  // Index of the last layer that reads anything but the newest output.
  let heldUntil = -1;
  layers.forEach((layer, i) => {
    group.push(layer);
    const previous = i === 0 ? layer.node.inputs[0] : layers[i - 1].node.name;
    heldUntil = Math.max(heldUntil, lastUse.get(previous) ?? i);
    if (heldUntil <= i) {
      groups.push(group);
      group = [];
    }
  });
  if (group.length > 0) groups.push(group);
  return groups;
}

function block(path: string, group: readonly BuiltLayer[], values: ReadonlyMap<string, Float32Array> | undefined): Block {
  const [first, last] = [group[0], group[group.length - 1]];
  const single = group.length === 1;
  const parameters = group.flatMap((layer) =>
    layer.parameters.map((spec): ParameterSpec => {
      const init = values === undefined ? spec.init : ({ kind: 'values', values: weightsOf(path, layer.node.name, spec, values) } as const);
      return { ...spec, name: single ? spec.name : `${layer.node.name}.${spec.name}`, init };
    }),
  );
  return {
    name: single ? first.node.name : `${first.node.name}..${last.node.name}`,
    parameters,
    outputShape: () => last.outputShape,
    apply: (context, input, tensors) => applyGroup(context, group, input, tensors),
  };
}

function applyGroup(context: BlockContext, group: readonly BuiltLayer[], input: tf.Tensor, tensors: readonly tf.Tensor[]): tf.Tensor {
  const outputs = new Map<string, tf.Tensor>();
  let position = 0;
  let output = input;
  for (const layer of group) {
    const own = tensors.slice(position, (position += layer.parameters.length));
    // Whatever the group did not make itself is the one tensor that crossed into it.
    output = layer.apply(context, layer.node.inputs.map((name) => outputs.get(name) ?? input), own);
    outputs.set(layer.node.name, output);
  }
  return output;
}

/** By `<layer>/<weight>`, under any prefix that the exporter put before it. */
function weightsOf(path: string, layer: string, spec: ParameterSpec, values: ReadonlyMap<string, Float32Array>): Float32Array {
  const name = `${layer}/${spec.name}`;
  const found = values.get(name) ?? [...values].find(([key]) => key.endsWith(`/${name}`))?.[1];
  if (found === undefined) throw kerasError(path, `it has no weights ${name}`, 'Set weights: fresh, or export the model again.');
  const expected = spec.shape.reduce((product, extent) => product * extent, 1);
  if (found.length !== expected) throw kerasError(path, `weights ${name} hold ${found.length} values, the layer takes [${spec.shape.join(', ')}]`);
  return found;
}
