import type { Output } from './graph-def.js';
import type { NativeTensor } from './native-tensor.js';
import type { PipelineGraph } from './pipeline-stage.js';

/** What a graph's variable sets and feeds are called. */
type Name = 'input' | 'targets' | 'parameters' | 'stashInput' | 'stash' | 'between' | 'outputGradient';

/** What a stage holds for one microbatch between its passes, under the names that its graph is fed. */
export class Stash {
  private readonly tensors: Partial<Record<Name, NativeTensor>>;
  private readonly sizes = new Map<string, number>();

  /** Takes over the feeds: `input`, on the last stage `targets`. */
  constructor(
    readonly graph: PipelineGraph,
    feeds: Partial<Record<Name, NativeTensor>>,
    readonly samples: number,
    /** Samples of the graph, padding included. */
    readonly size: number,
  ) {
    this.tensors = { ...feeds };
    for (const name of Object.keys(feeds)) this.sizes.set(name, graph.feedBytes[name as 'input' | 'targets']);
  }

  get held(): Readonly<Record<string, NativeTensor>> {
    return this.tensors as Record<string, NativeTensor>;
  }

  /** Parameters do not count: a stash aliases them until somebody changes them. */
  get bytes(): number {
    return [...this.sizes.values()].reduce((sum, bytes) => sum + bytes, 0);
  }

  get hasOutputGradient(): boolean {
    return this.tensors.outputGradient !== undefined || this.isHalved;
  }

  /** The gradient of the input has been taken. */
  get isHalved(): boolean {
    return this.tensors.between !== undefined;
  }

  /** What a forward pass leaves. */
  get forwardSets(): Partial<Record<Name, Output>> {
    return { stashInput: this.graph.stashInput.variables, stash: this.graph.stash.variables };
  }

  /** After a forward pass with its sets: backward does not read all of what forward was fed. */
  trim(): void {
    if (this.tensors.stash !== undefined) for (const name of ['input', 'targets'] as const) if (!this.graph.backwardFeeds.has(name)) this.forget(name);
  }

  /** Runs the graph on what is held, and holds the sets that it leaves; gives what else was fetched. */
  run(feeds: Readonly<Record<string, NativeTensor>>, sets: Partial<Record<Name, Output>>, fetches: readonly Output[]): NativeTensor[] {
    const names = Object.keys(sets) as Name[];
    const results = this.graph.session.run({ ...this.held, ...feeds }, [...names.map((name) => sets[name]!), ...fetches]);
    names.forEach((name, i) => this.keep(name, results[i], name === 'parameters' ? 0 : this.graph[name as 'stash']!.bytes));
    return results.slice(names.length);
  }

  keep(name: Name, tensor: NativeTensor, bytes: number): void {
    this.tensors[name] = tensor;
    this.sizes.set(name, bytes);
  }

  /** Runs forward again where only the input was kept, with the parameters of that time. */
  recompute(): void {
    if (this.tensors.stash !== undefined) return;
    this.run({}, this.forwardSets, []);
    this.forget('parameters');
    this.trim();
  }

  /** The input's half of backward: gives its gradient, and from then on holds only what the weights' half needs. */
  halve(): NativeTensor {
    this.recompute();
    const [inputGradient] = this.run({}, { between: this.graph.between!.variables }, [this.graph.inputGradient!]);
    this.forget('stashInput');
    for (const name of ['input', 'targets', 'outputGradient'] as const) if (!this.graph.weightFeeds.has(name)) this.forget(name);
    return inputGradient;
  }

  drop(): void {
    for (const name of Object.keys(this.tensors) as Name[]) this.forget(name);
  }

  private forget(name: Name): void {
    this.tensors[name]?.dispose();
    delete this.tensors[name];
    this.sizes.delete(name);
  }
}
