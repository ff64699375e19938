import type { RunEvent } from '@longtail/core';
import type { RunSnapshot } from './ports.js';

/** A version as a standby is told of it. What makes it travels as tensors of the same transfer, numbered as they are counted here. */
export interface VersionRecord {
  /** Of the version, but for the vectors; job and layout only where the standby has others. */
  readonly header: Omit<RunSnapshot, 'run' | 'parameters' | 'state' | 'job' | 'layout'> & Partial<Pick<RunSnapshot, 'job' | 'layout'>>;
  /** What the log says of the commit: its events from `seq` on, which nobody has seen before the standby has all this. */
  readonly told: { readonly seq: number; readonly events: readonly RunEvent[] };
  /** From the version that the transfer before made; undefined: the tensors are the parameters, then each state vector, as they are kept. */
  readonly steps?: readonly FollowedStep[];
}

/** A step of the optimizer. Its tensors are sums of contributions in float32, one a part. */
export interface FollowedStep {
  readonly learningRate: number;
  readonly parts: readonly {
    /** Values of the whole vector before it. */
    readonly offset: number;
    /** That the sum is multiplied by. */
    readonly scale: number;
  }[];
}

/** Tensors of a transfer. */
export function tensorsOf({ steps }: Pick<VersionRecord, 'steps'>, stateVectors: number): number {
  return steps === undefined ? 1 + stateVectors : steps.reduce((sum, { parts }) => sum + parts.length, 0);
}
