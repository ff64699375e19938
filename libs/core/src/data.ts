import type { HostTensor } from './tensor.js';

/** Samples as an engine takes them; the first dimension of each tensor counts samples. */
export interface Batch {
  readonly inputs: HostTensor;
  readonly targets: HostTensor;
  readonly samples: number;
}

export type Split = 'train' | 'validation';

/** What a model must accept and predict. */
export interface DataSignature {
  /** One sample's input, without the batch dimension. */
  readonly inputShape: readonly number[];
  readonly inputType: 'float32' | 'int32';
  readonly targetShape: readonly number[];
  readonly targetType: 'float32' | 'int32';
  /** Classes or vocabulary where targets are labels. */
  readonly classes: number | undefined;
}

/** A data set in memory or mapped; samples are addressed by index. */
export interface Dataset {
  readonly name: string;
  readonly signature: DataSignature;
  length(split: Split): number;
  /** Gathers samples by index; the arrays are fresh, the caller owns them. */
  batch(split: Split, indices: readonly number[] | Int32Array): Batch;
}

/** A file that a data set or a model needs, by content. */
export interface DataFile {
  readonly name: string;
  readonly bytes: number;
  readonly sha256: string;
}

/** Positions [start, end) of an epoch's shuffled order. Ranges are never empty. */
export interface SampleRange {
  readonly epoch: number;
  readonly start: number;
  readonly end: number;
}

/** A promise to a worker: these samples are yours until you deliver or lose them. */
export interface Lease {
  readonly id: number;
  readonly holder: string;
  readonly ranges: readonly SampleRange[];
  readonly samples: number;
}

/** How the samples of a run stand: `applied + lost + leased + free` is the total at any moment. */
export interface LeaseTotals {
  readonly total: number;
  readonly applied: number;
  readonly lost: number;
  readonly leased: number;
  readonly free: number;
}

/**
 * Hands out the samples of a run, in epoch order, each exactly once (DESIGN.md section 5, line 1).
 * Ranges that come back are handed out again before fresh ones.
 */
export interface LeaseBook {
  /** Leases at most `samples`, fewer at the end of the data; undefined when none is free. */
  lease(holder: string, samples: number): Lease | undefined;
  /** The samples reached a commit. Throws for a lease that is not open. */
  apply(leaseId: number): void;
  /** A part of what the samples do reached a commit, the rest is to come: until then the lease stays open, but it cannot be given back. */
  applyPartly(leaseId: number): void;
  /** The samples did not reach a commit: they are free again. */
  giveBack(leaseId: number): void;
  /** The samples never will: they are counted as lost. */
  lose(leaseId: number): void;
  totals(): LeaseTotals;
  /** As after a crash: everything open counts as free again in the snapshot, and as lost where a part of it was applied. */
  snapshot(): LeaseBookState;
}

export interface LeaseBookState {
  readonly samplesPerEpoch: number;
  readonly epochs: number;
  readonly applied: number;
  readonly lost: number;
  /** First position never leased. */
  readonly cursor: { readonly epoch: number; readonly position: number };
  readonly returned: readonly SampleRange[];
}
