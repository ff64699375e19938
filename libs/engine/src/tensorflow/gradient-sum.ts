import type { Output } from './graph-def.js';
import type { NativeTensor } from './native-tensor.js';
import type { Session } from './session.js';
import type { VariableSpace } from './variables.js';

/** What a graph offers to add its gradient up. */
export interface GradientGraph {
  readonly session: Session;
  /** The gradient as a fresh variable set. */
  readonly gradient: Output;
  /** A scalar, with the gradient added to the variable set that is fed as `gradientSum`. */
  readonly accumulated: Output;
}

/** The sum of gradients of a stage, on its device. */
export class GradientSum {
  private sum: NativeTensor | undefined;
  private samples = 0;

  constructor(private readonly space: VariableSpace) {}

  /** Runs a graph, adds its gradient and returns what else was fetched. The first gradient is kept as it comes, not added to zeros. */
  add(graph: GradientGraph, feeds: Readonly<Record<string, NativeTensor>>, fetches: readonly Output[], samples: number): NativeTensor[] {
    const all = this.sum === undefined ? feeds : { ...feeds, gradientSum: this.sum };
    const [added, ...rest] = graph.session.run(all, [this.sum === undefined ? graph.gradient : graph.accumulated, ...fetches]);
    if (this.sum === undefined) this.sum = added;
    else added.dispose();
    this.samples += samples;
    return rest;
  }

  /** Runs `use` with the variable set of the sum. */
  with<Result>(use: (sum: NativeTensor, samples: number) => Result): Result {
    this.sum ??= this.space.zeros();
    return use(this.sum, this.samples);
  }

  reset(): void {
    this.sum?.dispose();
    this.sum = undefined;
    this.samples = 0;
  }
}
