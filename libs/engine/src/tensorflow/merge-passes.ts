import { nodeOf } from './graph-def.js';
import type { GraphNode, Output } from './graph-def.js';

/**
 * Merges fused ops that follow each other, where one pass over memory does for both: a bias with the activation behind it,
 * a gradient with its sum over the rows, the loss with the count of hits. Blocks are written op by op, so that only the
 * whole graph shows it. Nodes whose output is fetched, or that others wait for, stay.
 */
export function mergePasses(nodes: readonly GraphNode[], fetches: readonly Output[]): GraphNode[] {
  const merging = new Merging(nodes, fetches);
  for (const node of nodes) {
    if (node.op === 'Relu') merging.biasRelu(node);
    else if (node.op === 'LongtailGelu') merging.biasGelu(node);
    else if (node.op === 'ReluGrad') merging.biasGradient(node, 'LongtailReluBiasGrad');
    else if (node.op === 'LongtailGeluGrad') merging.biasGradient(node, 'LongtailGeluBiasGrad');
    else if (node.op === 'LongtailArgMax') merging.hits(node);
  }
  return merging.result();
}

class Merging {
  private readonly byName: Map<string, GraphNode>;
  private readonly users = new Map<Output, GraphNode[]>();
  /** Not to be removed. */
  private readonly kept: Set<string>;
  private readonly redirected = new Map<Output, Output>();

  constructor(nodes: readonly GraphNode[], fetches: readonly Output[]) {
    this.byName = new Map(nodes.map((node) => [node.name, node]));
    this.kept = new Set([...fetches.map(nodeOf), ...nodes.flatMap((node) => node.after)]);
    for (const node of nodes) for (const input of node.inputs) this.users.set(input, [...this.usersOf(input), node]);
  }

  biasRelu(relu: GraphNode): void {
    const bias = this.removable(relu.inputs[0], 'LongtailBias');
    if (bias === undefined || this.usersOf(relu.inputs[0]).length > 1) return;
    this.byName.set(relu.name, { ...relu, op: 'LongtailBiasRelu', inputs: bias.inputs, attributes: {} });
    this.byName.delete(bias.name);
  }

  biasGelu(gelu: GraphNode): void {
    const bias = this.byName.get(nodeOf(gelu.inputs[0]));
    if (bias?.op !== 'LongtailBias' || this.kept.has(gelu.name)) return;
    this.byName.set(bias.name, { ...bias, op: 'LongtailBiasGelu' });
    this.replace(gelu, `${bias.name}:1`);
  }

  biasGradient(gradient: GraphNode, merged: string): void {
    const sum = this.usersOf(`${gradient.name}:0`).find((user) => user.op === 'LongtailBiasGrad' && !this.kept.has(user.name));
    if (sum === undefined) return;
    this.byName.set(gradient.name, { ...gradient, op: merged, attributes: {} });
    this.replace(sum, `${gradient.name}:1`);
  }

  hits(argMax: GraphNode): void {
    const logits = this.source(argMax.inputs[0]);
    const loss = [...this.byName.values()].find((node) => node.op === 'LongtailCrossEntropy' && this.source(node.inputs[0]) === logits);
    if (loss !== undefined && !this.kept.has(argMax.name)) this.replace(argMax, `${loss.name}:2`);
  }

  result(): GraphNode[] {
    return [...this.byName.values()].map((node) => ({
      ...node,
      inputs: node.inputs.map((input) => this.redirected.get(input) ?? input),
    }));
  }

  private replace(node: GraphNode, by: Output): void {
    this.redirected.set(`${node.name}:0`, by);
    this.byName.delete(node.name);
  }

  private removable(output: Output, op: string): GraphNode | undefined {
    const node = this.byName.get(nodeOf(output));
    return node?.op === op && !this.kept.has(node.name) ? node : undefined;
  }

  /** What an output is made from, and how, where it is a new shape of another one: loss and hits each ask for their own. */
  private source(output: Output): string {
    const made = this.redirected.get(output) ?? output;
    const node = this.byName.get(nodeOf(made))!;
    return node.op === 'Reshape' ? `${this.source(node.inputs[0])} as ${node.inputs[1]}` : made;
  }

  private usersOf(output: Output): GraphNode[] {
    return this.users.get(output) ?? [];
  }
}
