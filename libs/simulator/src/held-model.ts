import { joinLayouts, localStateCount, type DeviceInfo, type Job, type Loan, type OptimizerSpec, type ParameterLayout, type SampleRange } from '@longtail/core';
import { SampleOrder } from '@longtail/data';
import type { CountedOptimizer } from '@longtail/kernels';
import { LentVectors } from './lent-vectors.js';
import type { VirtualModel } from './model.js';
import type { VirtualDevice } from './virtual-device.js';
import { VirtualPrepared } from './virtual-prepared.js';

/** What a device prepares with, whatever the job. */
export interface ModelHolder {
  readonly device: DeviceInfo;
  readonly model: VirtualModel;
  createOptimizer(length: number, optimizer: OptimizerSpec): CountedOptimizer;
  createVector(length: number): Float32Array;
}

/** What a device holds of a model from when it prepared for a job on: parameters, which are those that it was given until it steps, and an optimizer, once it does. */
export abstract class HeldModel {
  readonly prepared: VirtualPrepared;
  protected readonly model: VirtualModel;
  protected readonly results: LentVectors;
  /** What the engine would hold: the base until the device steps. */
  parameters: Float32Array;
  /** Of the parameters: the same for the same ones; undefined: nobody knows. */
  protected of: object | undefined;
  /** What it was given last, which nobody changes before a task begins with others. */
  private base: Float32Array;
  /** What it steps to. */
  private stepped: Float32Array | undefined;
  private readonly order: SampleOrder;
  private anyIndices = new Int32Array(0);
  /** Made when it is first asked for: most devices only give gradients. */
  private made: CountedOptimizer | undefined;

  /** `part`: of the whole model's work. */
  constructor(
    private readonly holder: ModelHolder,
    protected readonly device: VirtualDevice,
    readonly job: Job,
    layouts: readonly ParameterLayout[],
    kind: 'whole' | 'stages',
    part: number,
  ) {
    const { model } = holder;
    const { length } = joinLayouts(layouts);
    this.model = model;
    this.order = new SampleOrder(model.trainSamples, job.train.seed);
    this.results = new LentVectors(() => holder.createVector(length));
    const samplesPerSecond = device.samplesPerSecond / part;
    this.prepared = new VirtualPrepared(layouts, holder.device.engine, samplesPerSecond, model, this.results, kind === 'whole', localStateCount(job.train.optimizer));
    this.base = this.parameters = this.prepared.parameters;
  }

  /** Fresh parameters into what was prepared. */
  abstract initial(): void;

  /** From now on it has these. */
  give(parameters: Float32Array, of?: Loan): void {
    this.base = this.parameters = parameters;
    this.of = of;
  }

  loadState(steps: number): void {
    for (const [i, vector] of this.optimizer.state().entries()) vector.set(this.prepared.state[i]!);
    this.optimizer.setSteps(steps);
  }

  get optimizer(): CountedOptimizer {
    return (this.made ??= this.holder.createOptimizer(this.parameters.length, this.job.train.optimizer));
  }

  /** What it has from now on is its own. */
  leaveShared(): void {
    const { base } = this;
    if (this.parameters !== base) return;
    this.parameters = this.stepped ??= new Float32Array(base.length);
    this.parameters.set(base);
  }

  /** They are not those that they were. */
  changed(): void {
    this.of = {};
  }

  /** Leaves, as the next result, how far the parameters moved from those that it was given. */
  leaveMove(): void {
    const { base, parameters } = this;
    const move = this.results.next();
    for (let i = 0; i < move.length; i++) move[i] = base[i]! - parameters[i]!;
  }

  protected indicesOf(ranges: readonly SampleRange[]): Int32Array {
    return this.model.ignoresSamples ? this.indices(countSamples(ranges)) : this.order.indicesOf(ranges);
  }

  /** Of samples that are all alike. */
  private indices(count: number): Int32Array {
    if (this.anyIndices.length !== count) this.anyIndices = new Int32Array(count);
    return this.anyIndices;
  }
}

export function countSamples(ranges: readonly SampleRange[]): number {
  let samples = 0;
  for (const { start, end } of ranges) samples += end - start;
  return samples;
}
