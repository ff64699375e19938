import { createHash } from 'node:crypto';
import { attribute, DataType, nodeOf } from './graph-def.js';
import type { Attributes, GraphNode, Output, OutputType } from './graph-def.js';

export interface NodeOptions {
  readonly name?: string;
  /** Nodes that must have run before. */
  readonly after?: readonly string[];
  readonly outputTypes?: readonly OutputType[];
}

/** A TensorFlow graph under construction: nodes in the order they were added, every input before its user. */
export class Graph {
  private readonly nodes: GraphNode[] = [];
  private readonly byName = new Map<string, GraphNode>();
  private readonly constants = new Map<string, Output>();

  /** Adds a node and returns its first output. */
  add(op: string, inputs: readonly Output[], attributes: Attributes, { name, after = [], outputTypes = [] }: NodeOptions = {}): Output {
    const node: GraphNode = { name: name ?? `${op}_${this.nodes.length}`, op, inputs, after, attributes, outputTypes };
    if (this.byName.has(node.name)) throw new Error(`the graph already has a node ${node.name}`);
    this.nodes.push(node);
    this.byName.set(node.name, node);
    return `${node.name}:0`;
  }

  /** A value that each run feeds. */
  placeholder(name: string, dtype: number, shape: readonly number[]): Output {
    return this.add('Placeholder', [], { dtype: attribute.type(dtype), shape: attribute.shape(shape) }, { name, outputTypes: [{ dtype, shape }] });
  }

  /** A frozen value; equal ones are one node. */
  constant(dtype: number, shape: readonly number[], values: ArrayBufferView): Output {
    const bytes = new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
    const key = `${dtype}[${shape.join()}]${createHash('sha256').update(bytes).digest('base64')}`;
    const known = this.constants.get(key);
    if (known !== undefined) return known;
    const output = this.add('Const', [], { dtype: attribute.type(dtype), value: attribute.tensor(dtype, shape, bytes.slice()) });
    this.constants.set(key, output);
    return output;
  }

  scalar(value: number): Output {
    return this.constant(DataType.float, [], Float32Array.of(value));
  }

  ints(values: readonly number[]): Output {
    return this.constant(DataType.int32, [values.length], Int32Array.from(values));
  }

  zeros(shape: readonly number[]): Output {
    return this.float('Fill', [this.ints(shape), this.scalar(0)], { index_type: attribute.type(DataType.int32) });
  }

  /** A float op of one output whose only type attribute is `T`. */
  float(op: string, inputs: readonly Output[], attributes: Attributes = {}, after: readonly string[] = []): Output {
    return this.add(op, inputs, { T: attribute.type(DataType.float), ...attributes }, { after });
  }

  node(name: string): GraphNode {
    const node = this.byName.get(name);
    if (node === undefined) throw new Error(`the graph has no node ${name}`);
    return node;
  }

  /** Type of an output whose node was added with `outputTypes`. */
  typeOf(output: Output): OutputType {
    const type = this.node(nodeOf(output)).outputTypes[Number(output.slice(output.lastIndexOf(':') + 1))];
    if (type === undefined) throw new Error(`the type of ${output} is not known`);
    return type;
  }

  get size(): number {
    return this.nodes.length;
  }

  /** Names of the nodes that the given ones depend on, themselves included. */
  ancestors(names: Iterable<string>): Set<string> {
    const seen = new Set<string>();
    const open = [...names];
    for (let name = open.pop(); name !== undefined; name = open.pop()) {
      if (seen.has(name)) continue;
      seen.add(name);
      const node = this.node(name);
      open.push(...node.inputs.map(nodeOf), ...node.after);
    }
    return seen;
  }

  /** Nodes that take the output as an input. */
  users(output: Output): GraphNode[] {
    return this.nodes.filter((node) => node.inputs.includes(output));
  }

  /** Nodes in the order they were added. */
  slice(start: number, end?: number): readonly GraphNode[] {
    return this.nodes.slice(start, end);
  }

  /** Gives nodes [start, end) other inputs where `replacements` has some. */
  rewire(start: number, end: number, replacements: ReadonlyMap<Output, Output>): void {
    for (let i = start; i < end; i++) {
      const node = { ...this.nodes[i], inputs: this.nodes[i].inputs.map((input) => replacements.get(input) ?? input) };
      this.nodes[i] = node;
      this.byName.set(node.name, node);
    }
  }

  /** The nodes that the fetches depend on: what else was recorded is never needed. */
  prune(fetches: readonly Output[]): GraphNode[] {
    const alive = this.ancestors(fetches.map(nodeOf));
    return this.nodes.filter((node) => alive.has(node.name));
  }
}
