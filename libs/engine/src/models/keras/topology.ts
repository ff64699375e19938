import { readFileSync } from 'node:fs';
import { LongtailError } from '@longtail/core';

type KerasConfig = Readonly<Record<string, unknown>>;

/** A layer as `model.json` describes it. */
export interface KerasNode {
  readonly name: string;
  readonly className: string;
  readonly config: KerasConfig;
  /** Layers whose output it takes, in order; empty for the input. */
  readonly inputs: readonly string[];
}

export interface WeightEntry {
  readonly name: string;
  readonly shape: readonly number[];
  readonly dtype: string;
  /** value = stored · scale + min; for float16 neither is given. */
  readonly quantization?: { readonly dtype: 'uint8' | 'uint16' | 'float16'; readonly scale?: number; readonly min?: number };
}

export interface WeightGroup {
  /** Files beside `model.json` whose bytes, one behind the other, hold the group's tensors. */
  readonly paths: readonly string[];
  readonly weights: readonly WeightEntry[];
}

/** A `tf.LayersModel` on disk: layers in an order in which each stands behind its inputs. */
export interface KerasTopology {
  readonly nodes: readonly KerasNode[];
  readonly output: string;
  readonly weights: readonly WeightGroup[];
}

interface RawLayer {
  readonly class_name: string;
  readonly name?: string;
  readonly config: KerasConfig & { readonly name?: string };
  readonly inbound_nodes?: readonly unknown[];
}

/** Reads `model.json` as tfjs-layers and the tensorflowjs converter write it. Throws LongtailError naming the file. */
export function readTopology(path: string): KerasTopology {
  const json = parse(path) as { format?: string; modelTopology?: Record<string, unknown>; weightsManifest?: WeightGroup[] };
  const root = (json.modelTopology?.model_config ?? json.modelTopology) as { class_name?: string; config?: unknown } | undefined;
  if (root?.class_name === undefined || json.format === 'graph-model') {
    throw kerasError(path, 'it is no tf.LayersModel: it has no layers to train', 'Export with tensorflowjs_converter --output_format tfjs_layers_model, or save a LayersModel from TF.js.');
  }
  const weights = json.weightsManifest ?? [];
  const config = root.config as { layers?: RawLayer[] } | RawLayer[];
  const layers = Array.isArray(config) ? config : (config.layers ?? []);
  if (root.class_name === 'Sequential') return { ...sequential(path, layers), weights };
  if (root.class_name === 'Model' || root.class_name === 'Functional') return { ...functional(path, layers, config as KerasConfig), weights };
  throw kerasError(path, `its class ${root.class_name} is not known`, 'Export a Sequential or functional model.');
}

export function kerasError(path: string, message: string, hint?: string): LongtailError {
  return new LongtailError(`Keras model: ${message}`, { code: 'invalid-file', where: path, hint });
}

function parse(path: string): unknown {
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (error) {
    throw new LongtailError('the Keras model cannot be read', { code: 'missing-file', where: path, cause: error, hint: 'Point path at the model.json of a tf.LayersModel.' });
  }
  try {
    return JSON.parse(text);
  } catch (error) {
    throw kerasError(path, `it is no JSON: ${(error as Error).message}`, 'Point path at the model.json, not at a weight file or .h5.');
  }
}

function layerName(layer: RawLayer): string {
  return layer.config.name ?? layer.name ?? layer.class_name;
}

function sequential(path: string, layers: readonly RawLayer[]): { nodes: KerasNode[]; output: string } {
  if (layers.length === 0) throw kerasError(path, 'it has no layers');
  const nodes = layers.map((layer, i) => ({ name: layerName(layer), className: layer.class_name, config: layer.config, inputs: i === 0 ? [] : [layerName(layers[i - 1])] }));
  if (nodes[0].className !== 'InputLayer') {
    nodes[0] = { ...nodes[0], inputs: ['input'] };
    nodes.unshift({ name: 'input', className: 'InputLayer', config: nodes[0].config, inputs: [] });
  }
  return { nodes, output: nodes[nodes.length - 1].name };
}

function functional(path: string, layers: readonly RawLayer[], config: KerasConfig): { nodes: KerasNode[]; output: string } {
  const outputs = historyNames(config.output_layers);
  const inputs = historyNames(config.input_layers);
  if (inputs.length !== 1 || outputs.length !== 1) throw kerasError(path, `it has ${inputs.length} inputs and ${outputs.length} outputs`, 'Models with one input and one output can be trained.');
  const nodes = layers.map((layer): KerasNode => {
    const calls = layer.inbound_nodes ?? [];
    if (calls.length > 1) throw kerasError(path, `layer ${layerName(layer)} (${layer.class_name}) is shared between ${calls.length} places`, 'Give each place a layer of its own.');
    return { name: layerName(layer), className: layer.class_name, config: layer.config, inputs: historyNames(calls) };
  });
  return { nodes: inOrder(path, nodes, outputs[0]), output: outputs[0] };
}

/**
 * Layer names in a nest of references: `["name", 0, 0, {…}]` in Keras 2, `{ keras_history: ["name", 0, 0] }` somewhere
 * inside in Keras 3.
 */
function historyNames(value: unknown): string[] {
  if (Array.isArray(value)) {
    if (typeof value[0] === 'string' && typeof value[1] === 'number') return [value[0]];
    return value.flatMap(historyNames);
  }
  if (value === null || typeof value !== 'object') return [];
  const history = (value as { keras_history?: unknown }).keras_history;
  return history !== undefined ? historyNames(history) : Object.values(value).flatMap(historyNames);
}

/** The layers that lead to the output, each behind its inputs (depth first, so branches stay together). */
function inOrder(path: string, nodes: readonly KerasNode[], output: string): KerasNode[] {
  const byName = new Map(nodes.map((node) => [node.name, node]));
  const ordered = new Set<KerasNode>();
  const visit = (name: string, consumer: string): void => {
    const node = byName.get(name);
    if (node === undefined) throw kerasError(path, `layer ${consumer} takes the output of ${name}, which does not exist`);
    if (ordered.has(node)) return;
    node.inputs.forEach((input) => visit(input, name));
    ordered.add(node);
  };
  visit(output, 'output');
  return [...ordered];
}
