import type { StageTiming } from '@longtail/core';

/** What a message between neighbouring stages costs. */
export interface Hop {
  /** From its leaving until it has arrived. */
  readonly hopMs: number;
  /** The part of it during which nothing else leaves the sender. */
  readonly sendMs: number;
}

const WITHIN_A_WORKER: Hop = { hopMs: 0, sendMs: 0 };

/** From stage `from` to `from + 1`; free within one worker. */
export function activationHop(stages: readonly StageTiming[], from: number, workers: number): Hop {
  if (workers === 1) return WITHIN_A_WORKER;
  const { activationHopMs: hopMs, activationSendMs: sendMs = 0 } = stages[from]!;
  return { hopMs, sendMs };
}

/** From stage `from` to `from - 1`; free within one worker. */
export function gradientHop(stages: readonly StageTiming[], from: number, workers: number): Hop {
  if (workers === 1) return WITHIN_A_WORKER;
  const { gradientHopMs: hopMs, gradientSendMs: sendMs = 0 } = stages[from - 1]!;
  return { hopMs, sendMs };
}

/**
 * A worker's uplink: messages leave in the order in which they were made, one at a time for their `sendMs`, whoever they
 * are for. On home links the uplink is the bottleneck; what is left of the hop (latency, the receiver's side) overlaps.
 */
export class Uplink {
  private freeAtMs = 0;

  /** When a message that is ready at `readyMs` arrives. */
  send(readyMs: number, { hopMs, sendMs }: Hop): number {
    const leavesMs = Math.max(readyMs, this.freeAtMs);
    this.freeAtMs = leavesMs + sendMs;
    return leavesMs + hopMs;
  }
}
