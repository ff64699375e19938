import type * as tfjs from '@tensorflow/tfjs';
import type { NodeJSKernelBackend } from '@tensorflow/tfjs-node-gpu/dist/nodejs_kernel_backend.js';
import type { TFEOpAttr } from '@tensorflow/tfjs-node-gpu/dist/tfjs_binding.js';
import { LongtailError } from '@longtail/core';
import { attribute } from './graph-def.js';
import type { Attribute, Output } from './graph-def.js';
import type { Graph } from './graph.js';
import type { Binding } from './native-tensor.js';

/** A TF.js tensor and the output of the graph that stands for it. */
export type TracedTensor = readonly [tensor: tfjs.Tensor, output: Output];

/** What a recorded body may ask while it runs. */
export interface Recording {
  /** The output of the graph that a tensor stands for. */
  outputOf(tensor: tfjs.Tensor): Output;
  /** From now on a tensor stands for an output. */
  bind(tensor: tfjs.Tensor, output: Output): void;
}

/**
 * Runs `body` eagerly and adds every op that TF.js asks TensorFlow for to the graph. Tensors in `inputs` become what
 * they are mapped to; any other tensor from outside, and any value that JavaScript computes, is frozen as a constant.
 * So `body` may depend on shapes, never on values.
 *
 * @throws LongtailError `invalid-file`: the body reads values of a tensor, or uses an op that a graph cannot hold.
 */
export function record<Result>(
  backend: NodeJSKernelBackend,
  graph: Graph,
  inputs: readonly TracedTensor[],
  body: (recording: Recording) => Result,
): Result {
  const recorder = new Recorder(backend, graph);
  for (const [tensor, output] of inputs) recorder.bind(tensor, output);
  const binding = backend.binding;
  backend.binding = recorder.recordingBinding();
  try {
    return body(recorder);
  } finally {
    backend.binding = binding;
  }
}

class Recorder implements Recording {
  /** Of native tensors, whose numbers are never given twice. */
  private readonly outputs = new Map<number, Output>();
  private readonly binding: Binding;

  constructor(
    private readonly backend: NodeJSKernelBackend,
    private readonly graph: Graph,
  ) {
    this.binding = backend.binding;
  }

  bind(tensor: tfjs.Tensor, output: Output): void {
    this.outputs.set(this.nativeId(tensor), output);
  }

  outputOf(tensor: tfjs.Tensor): Output {
    return this.output(this.nativeId(tensor));
  }

  /** The binding with the functions that matter replaced. */
  recordingBinding(): Binding {
    const createTensor = (shape: number[], dtype: number, values: unknown): number => this.createTensor(shape, dtype, values);
    const executeOp: Binding['executeOp'] = (op, attributes, inputs, outputs) => this.executeOp(op, attributes, inputs, outputs);
    const tensorDataSync = (): never => {
      throw new LongtailError('a block reads the values of a tensor while its graph is recorded', {
        code: 'invalid-file',
        hint: 'Compute with tensors only: what a block does may depend on shapes, not on values.',
      });
    };
    // Not by assignment: the properties of the native object are read-only, for those who inherit from it too.
    return Object.create(this.binding, {
      createTensor: { value: createTensor },
      executeOp: { value: executeOp },
      tensorDataSync: { value: tensorDataSync },
    }) as Binding;
  }

  private createTensor(shape: number[], dtype: number, values: unknown): number {
    if (!ArrayBuffer.isView(values)) throw unsupported('a tensor of strings');
    const id = this.binding.createTensor(shape, dtype, values as Float32Array);
    this.outputs.set(id, this.graph.constant(dtype, shape, values));
    return id;
  }

  private executeOp(op: string, opAttributes: TFEOpAttr[], inputs: number[], outputCount: number): ReturnType<Binding['executeOp']> {
    const sources = inputs.map((id) => this.output(id));
    const attributes = Object.fromEntries(opAttributes.map((given) => [given.name, this.attribute(op, given)]));
    const results = this.binding.executeOp(op, opAttributes, inputs, outputCount);
    const outputTypes = results.map(({ dtype, shape }) => ({ dtype, shape }));
    const first = this.graph.add(op, sources, { ...listLength(op, inputs.length), ...attributes }, { outputTypes });
    results.forEach(({ id }, i) => this.outputs.set(id, `${first.slice(0, -2)}:${i}`));
    return results;
  }

  /** The output that stands for a native tensor. One that was made before the recording is frozen as a constant. */
  private output(id: number): Output {
    const known = this.outputs.get(id);
    if (known !== undefined) return known;
    const [copy] = this.binding.executeOp('Identity', [{ name: 'T', type: this.binding.TF_ATTR_TYPE, value: 0 }], [id], 1);
    try {
      const frozen = this.graph.constant(copy.dtype, copy.shape, this.binding.tensorDataSync(copy.id));
      this.outputs.set(id, frozen);
      return frozen;
    } finally {
      this.binding.deleteTensor(copy.id);
    }
  }

  private nativeId(tensor: tfjs.Tensor): number {
    // Uploads a tensor that JavaScript has made and no op has used yet. Private in the typings only.
    const { getInputTensorIds } = this.backend as unknown as { getInputTensorIds(tensors: tfjs.Tensor[]): number[] };
    return getInputTensorIds.call(this.backend, [tensor])[0];
  }

  private attribute(op: string, { name, type, value }: TFEOpAttr): Attribute {
    const { TF_ATTR_STRING, TF_ATTR_INT, TF_ATTR_FLOAT, TF_ATTR_BOOL, TF_ATTR_TYPE, TF_ATTR_SHAPE } = this.binding;
    const list = Array.isArray(value);
    switch (type) {
      case TF_ATTR_STRING:
        return attribute.string(value as string);
      case TF_ATTR_INT:
        return list ? attribute.ints(value) : attribute.int(value as number);
      case TF_ATTR_FLOAT:
        return list ? attribute.floats(value) : attribute.float(value as number);
      case TF_ATTR_BOOL:
        return attribute.bool(value as boolean);
      case TF_ATTR_TYPE:
        return attribute.type(value as number);
      case TF_ATTR_SHAPE:
        return attribute.shape(value as number[]);
      default:
        throw unsupported(`attribute ${name} of ${op}`);
    }
  }
}

/** Eager ops infer how long their list of inputs is; a graph wants it said. */
function listLength(op: string, inputs: number): Record<string, Attribute> {
  switch (op) {
    case 'AddN':
    case 'Pack':
    case 'Einsum':
      return { N: attribute.int(inputs) };
    case 'ConcatV2':
      return { N: attribute.int(inputs - 1) };
    default:
      return {};
  }
}

function unsupported(what: string): LongtailError {
  return new LongtailError(`a block uses ${what}, which a TensorFlow graph of ours cannot hold`, {
    code: 'invalid-file',
    hint: 'Write the block with other operations, or train on another engine: `--engine wasm`.',
  });
}
