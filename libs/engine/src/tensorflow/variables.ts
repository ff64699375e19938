import type { TensorFlowContext } from './context.js';
import { attribute, DataType, nodeOf } from './graph-def.js';
import type { Output, OutputType } from './graph-def.js';
import { Graph } from './graph.js';
import { NativeTensor, take } from './native-tensor.js';
import type { Binding } from './native-tensor.js';
import { Session } from './session.js';

/*
 * Each loaded graph is a session with variables of its own, and one stage needs many graphs: one for each batch size.
 * What they share (parameters, moments, gradient sums, stashes) therefore lives in *anonymous* variables, which belong
 * to their handle instead of a session, and the handles travel as feeds. TensorFlow refuses a bare handle as a feed, but
 * takes an `Optional` that holds handles. The variables stay on their device and die with the `Optional`.
 */

/** `ResourceHandle::ANONYMOUS_NAME` of tensorflow/core/framework/resource_handle.h. */
const ANONYMOUS = 'cd2c89b7-88b7-44c8-ad83-06c2a9158347';

const FLOAT = { dtype: attribute.type(DataType.float) };

/** Types of float tensors of these shapes. */
export function floats(shapes: readonly (readonly number[])[]): OutputType[] {
  return shapes.map((shape) => ({ dtype: DataType.float, shape }));
}

/** Handles of a variable set that is fed as `name`. */
export function unpackVariables(graph: Graph, name: string, variables: number): Output[] {
  const packed = graph.placeholder(name, DataType.variant, []);
  const count = Math.max(1, variables);
  const handles = graph.add('OptionalGetValue', [packed], {
    output_types: attribute.types(Array<number>(count).fill(DataType.resource)),
    output_shapes: attribute.shapes(Array<number[]>(count).fill([])),
  });
  return Array.from({ length: variables }, (_, i): Output => `${nodeOf(handles)}:${i}`);
}

/**
 * A fresh variable set that holds the values; they are aliased, not copied. An `Optional` may not be empty, so that a set
 * of none holds one scalar.
 */
export function packVariables(graph: Graph, values: readonly Output[], types: readonly OutputType[]): Output {
  if (values.length === 0) return packVariables(graph, [graph.scalar(0)], floats([[]]));
  const handles = types.map(({ dtype, shape }) =>
    graph.add('VarHandleOp', [], {
      dtype: attribute.type(dtype),
      shape: attribute.shape(shape),
      container: attribute.string(''),
      shared_name: attribute.string(ANONYMOUS),
    }),
  );
  const assigned = handles.map((handle, i) =>
    nodeOf(graph.add('AssignVariableOp', [handle, values[i]], { dtype: attribute.type(types[i].dtype) })),
  );
  const handleTypes = attribute.types(handles.map(() => DataType.resource));
  return graph.add('OptionalFromValue', handles, { Toutput_types: handleTypes }, { after: assigned });
}

/** The value of a variable: an alias of it, which makes a later update copy unless all who use it are done by then. */
export function readVariable(graph: Graph, handle: Output, type: OutputType): Output {
  return graph.add('ReadVariableOp', [handle], { dtype: attribute.type(type.dtype) }, { outputTypes: [type] });
}

/** Adds to variables in place, once the nodes `after` have run; gives the nodes that do it. */
export function addToVariables(graph: Graph, handles: readonly Output[], values: readonly Output[], after: readonly string[] = []): string[] {
  return handles.map((handle, i) => nodeOf(graph.add('AssignAddVariableOp', [handle, values[i]], FLOAT, { after })));
}

/**
 * Overwrites a variable in place: `AssignVariableOp` does not reach an anonymous variable of another session. From then
 * on TensorFlow copies the variable whenever it is read.
 */
function overwriteVariable(graph: Graph, handle: Output, value: Output): string {
  const [begin, end, strides] = [0, 0, 1].map((bound) => graph.ints([bound]));
  const attributes = { T: attribute.type(DataType.float), Index: attribute.type(DataType.int32), ellipsis_mask: attribute.int(1) };
  return nodeOf(graph.add('ResourceStridedSliceAssign', [handle, begin, end, strides, value], attributes));
}

/**
 * Makes, reads and writes variable sets of one list of shapes. With the fused ops, which change variables by way of the
 * values that alias them, a set's buffers are nobody else's: not a constant's of the graph, nor one another's.
 */
export class VariableSpace {
  private readonly session: Session;
  private readonly zeroed: Output;
  private readonly values: readonly Output[];
  private readonly written: readonly Output[];
  private readonly added: readonly Output[];

  private readonly binding: Binding;

  constructor(
    { binding, fused }: Pick<TensorFlowContext, 'binding' | 'fused'>,
    private readonly shapes: readonly (readonly number[])[],
  ) {
    this.binding = binding;
    const graph = new Graph();
    const handles = unpackVariables(graph, 'variables', shapes.length);
    const types = floats(shapes);
    this.values = handles.map((handle, i) => readVariable(graph, handle, types[i]));
    this.zeroed = packVariables(
      graph,
      shapes.map((shape) => (fused ? graph.add('LongtailFresh', [graph.zeros(shape)], {}) : graph.zeros(shape))),
      types,
    );
    const given = shapes.map((shape, i) => graph.placeholder(`value${i}`, DataType.float, shape));
    const after = (node: string): Output => graph.float('Identity', [graph.scalar(0)], {}, [node]);
    this.written = handles.map((handle, i) =>
      after(fused ? nodeOf(graph.add('LongtailOverwrite', [this.values[i], given[i]], {})) : overwriteVariable(graph, handle, given[i])),
    );
    this.added = addToVariables(graph, handles, given).map(after);
    this.session = Session.load(binding, graph, [...this.values, this.zeroed, ...this.written, ...this.added]);
  }

  zeros(): NativeTensor {
    return this.session.run({}, [this.zeroed])[0];
  }

  /** Copies each variable into its view; those without one are left alone. */
  read(variables: NativeTensor, out: readonly (Float32Array | undefined)[]): void {
    const wanted = this.withView(out);
    if (wanted.length === 0) return;
    const values = this.session.run(
      { variables },
      wanted.map((i) => this.values[i]),
    );
    try {
      values.forEach((value, k) => out[wanted[k]]!.set(value.read() as Float32Array));
    } finally {
      for (const value of values) value.dispose();
    }
  }

  /** Variables without a view are left alone. */
  write(variables: NativeTensor, views: readonly (Float32Array | undefined)[]): void {
    this.change(variables, views, this.written);
  }

  /** Adds each view to its variable; those without one are left alone. */
  add(variables: NativeTensor, views: readonly (Float32Array | undefined)[]): void {
    this.change(variables, views, this.added);
  }

  dispose(): void {
    this.session.dispose();
  }

  private change(variables: NativeTensor, views: readonly (Float32Array | undefined)[], changes: readonly Output[]): void {
    const wanted = this.withView(views);
    if (wanted.length === 0) return;
    const feeds = wanted.map((i) => NativeTensor.from(this.binding, DataType.float, this.shapes[i], views[i]!));
    try {
      const named = Object.fromEntries(feeds.map((feed, k) => [`value${wanted[k]}`, feed]));
      const changed = wanted.map((i) => changes[i]);
      for (const done of this.session.run({ ...named, variables }, changed)) take(done);
    } finally {
      for (const feed of feeds) feed.dispose();
    }
  }

  private withView(views: readonly (Float32Array | undefined)[]): readonly number[] {
    return [...this.shapes.keys()].filter((i) => views[i] !== undefined);
  }
}
