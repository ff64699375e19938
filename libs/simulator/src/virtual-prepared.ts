import type { EngineName, Loan, ParameterLayout, Prepared } from '@longtail/core';
import { joinLayouts } from '@longtail/core';
import type { LentVectors } from './lent-vectors.js';
import type { VirtualModel } from './model.js';

/** What a virtual device prepared. A class, as V8 looks up by name what is in an object with accessors of its own. */
export class VirtualPrepared implements Prepared {
  readonly memoryBytes: number;
  readonly trainSamples: number;
  readonly validationSamples: number;
  readonly blocks: number | undefined;
  readonly parameters: Float32Array;
  private moments: readonly Float32Array[] | undefined;

  constructor(
    readonly layouts: readonly ParameterLayout[],
    readonly engine: EngineName,
    readonly samplesPerSecond: number,
    { trainSamples, validationSamples, blocks }: VirtualModel,
    private readonly results: LentVectors,
    private readonly isWhole: boolean,
    private readonly stateCount: number,
  ) {
    const { length } = joinLayouts(layouts);
    this.memoryBytes = 4 * length;
    this.trainSamples = trainSamples;
    this.validationSamples = validationSamples;
    this.blocks = blocks?.count;
    this.parameters = new Float32Array(length);
  }

  get gradient(): Float32Array {
    return this.results.current.values;
  }

  get gradientLoan(): Loan | undefined {
    return this.isWhole ? this.results.current : undefined;
  }

  /** Asked for by those who step alone. */
  get state(): readonly Float32Array[] {
    const { stateCount, parameters } = this;
    return (this.moments ??= Array.from({ length: stateCount }, () => new Float32Array(parameters.length)));
  }
}
