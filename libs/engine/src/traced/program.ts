import type { BlockCost } from '../block.js';
import type { Data } from './batch-dependent.js';

/**
 * A model as data: what its module would have done, written down. Values are counted: 0 is a block's input, then come its
 * parameters (its own, then those it uses), then the results of its steps.
 */
export interface TracedModel {
  readonly format: 1;
  readonly inputShape: readonly number[];
  readonly inputType: 'float32' | 'int32';
  readonly blocks: readonly TracedBlock[];
}

export interface TracedBlock {
  readonly name: string;
  readonly parameters: readonly TracedParameter[];
  readonly uses: readonly string[];
  /** One sample's. */
  readonly inputShape: readonly number[];
  readonly outputShape: readonly number[];
  readonly cost?: BlockCost;
  readonly steps: readonly Step[];
  /** The value that is its output. */
  readonly output: number;
}

export interface TracedParameter {
  readonly name: string;
  readonly shape: readonly number[];
  readonly trainable: boolean;
  readonly init:
    | { readonly kind: 'zeros' | 'ones' }
    | { readonly kind: 'normal'; readonly std: number }
    | { readonly kind: 'uniform'; readonly limit: number }
    /** float32, little-endian, base64. */
    | { readonly kind: 'values'; readonly values: string };
}

export type Step = {
  /** Of the module. */
  readonly line?: number;
} & (
  | { readonly call: 'constant'; readonly dtype: 'float32' | 'int32' | 'bool'; readonly shape: readonly number[]; /** base64 */ readonly values: string }
  | { readonly call: 'kernel'; readonly name: string; readonly inputs: Readonly<Record<string, number>> | readonly number[]; readonly attributes: Data; readonly outputs: number }
  /** One of Longtail's own operations. */
  | { readonly call: 'op'; readonly name: string; readonly args: readonly Argument[] }
);

export type Argument = { readonly tensor: number } | number | string | boolean | null;

/** Batch sizes that blocks are traced and checked with: primes, so that no other dimension is taken for a batch. */
export const TRACED_BATCHES = [11, 13, 17] as const;
