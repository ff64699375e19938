import type { Action, Schedule } from '@longtail/core';

/**
 * All forwards, then all backwards (Huang et al. 2019, GPipe): (m+p−1)(F+B) on equal stages, and every microbatch stashed.
 * Backwards come in the order of the forwards, so that messages between two stages stay in order.
 */
export function gpipe(): Schedule {
  return { name: 'gpipe', chunks: 1, splitsBackward: false, actions, stashCap: (_rank, _stages, microbatches) => microbatches };
}

function actions(stage: number, _stages: unknown, microbatches: number): Action[] {
  return (['F', 'B'] as const).flatMap((op) => Array.from({ length: microbatches }, (_, microbatch) => ({ op, stage, microbatch })));
}
