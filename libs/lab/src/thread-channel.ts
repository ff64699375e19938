import type { Batch, BatchStats, BuildOptions, EngineName, ModelSpec, WireError } from '@longtail/core';

/** Of what a thread is to compute. */
export const [FREE, BEGUN, WITHDRAWN] = [0, 1, 2] as const;

export interface ThreadOptions {
  readonly engine: EngineName;
  /** Of each ticket, in shared memory. */
  readonly states: Int32Array;
}

export interface BuildRequest {
  readonly model: ModelSpec;
  readonly options: BuildOptions;
}

/** With the model that was asked for as number `stage`, from 0. Vectors lie in shared memory. */
export interface ComputeRequest {
  readonly stage: number;
  readonly ticket: number;
  /** Of the parameters: those of the same number are the same. */
  readonly version: number;
  readonly parameters: Float32Array;
  readonly batch: Batch;
  /** Where the gradient sum is left; undefined: only statistics are asked for. */
  readonly gradient: Float32Array | undefined;
}

export type EngineRequest = { readonly build: BuildRequest } | { readonly compute: ComputeRequest };
/** No statistics of what was built, or was withdrawn. */
export type EngineReply = { readonly stats: BatchStats | undefined } | { readonly error: WireError };
