import type { ParameterLayout } from '@longtail/core';

/** Values that lie one behind the other in a stage's vector and in its worker's. */
interface Run {
  readonly inStage: number;
  readonly inWorker: number;
  readonly length: number;
  /** An earlier stage of the worker holds them too. */
  readonly shared: boolean;
}

/** Where a stage's vector lies in that of its worker, which has what several of its stages hold (tied parameters) once. */
export class StageVector {
  private readonly runs: readonly Run[];
  /** Undefined where the stage's vector is a part of the worker's as it is. */
  private readonly copy: Float32Array | undefined;

  /** `earlier`: names of what the worker's stages before this one hold. */
  constructor(stage: ParameterLayout, worker: ParameterLayout, earlier: ReadonlySet<string>) {
    this.runs = runsOf(stage, worker, earlier);
    const { length, 0: only } = this.runs;
    const isPart = length === 1 && !only!.shared;
    this.copy = isPart ? undefined : new Float32Array(stage.length);
  }

  /** The stage's values out of the worker's vector; of use until the next call. */
  from(worker: Float32Array): Float32Array {
    const { copy, runs } = this;
    if (copy === undefined) return this.part(worker);
    for (const { inStage, inWorker, length } of runs) copy.set(worker.subarray(inWorker, inWorker + length), inStage);
    return copy;
  }

  /**
   * Puts the values that `fill` leaves into the worker's vector. What an earlier stage of the worker holds too, and has put
   * there already, stays as it is (parameters: all copies are the same) or gets this stage's part added (gradients).
   */
  async into<Result>(worker: Float32Array, shared: 'stays' | 'is added', fill: (values: Float32Array) => Promise<Result>): Promise<Result> {
    const { copy, runs } = this;
    if (copy === undefined) return fill(this.part(worker));
    const result = await fill(copy);
    for (const run of runs) {
      if (!run.shared) worker.set(copy.subarray(run.inStage, run.inStage + run.length), run.inWorker);
      else if (shared === 'is added') for (let i = 0; i < run.length; i++) worker[run.inWorker + i] += copy[run.inStage + i];
    }
    return result;
  }

  private part(worker: Float32Array): Float32Array {
    const [{ inWorker, length }] = this.runs;
    return worker.subarray(inWorker, inWorker + length);
  }
}

function runsOf(stage: ParameterLayout, worker: ParameterLayout, earlier: ReadonlySet<string>): readonly Run[] {
  const offsets = new Map(worker.slots.map(({ name, offset }) => [name, offset]));
  const runs: Run[] = [];
  for (const { name, offset: inStage, length } of stage.slots) {
    const inWorker = offsets.get(name)!;
    const shared = earlier.has(name);
    const last = runs.at(-1);
    if (last !== undefined && last.shared === shared && last.inWorker + last.length === inWorker) {
      runs[runs.length - 1] = { ...last, length: last.length + length };
    } else runs.push({ inStage, inWorker, length, shared });
  }
  return runs;
}
