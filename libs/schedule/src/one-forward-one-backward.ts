import type { Action, Schedule, StageTiming } from '@longtail/core';
import { descendingLimit, type StashLimit } from './stash.js';

/**
 * 1F1B (Narayanan et al. 2019, PipeDream; synchronous as in Narayanan et al. 2021): stage s runs p−1−s forwards ahead, then
 * one backward follows each forward. (m+p−1)(F+B) on equal stages without hop delays, like GPipe, with p−s stashes
 * instead of m. A hop delay of c costs it 2c(p−1)/p each microbatch: see `cappedOneForwardOneBackward`.
 */
export function oneForwardOneBackward(options: { readonly maxStash?: StashLimit } = {}): Schedule {
  const stashCap = (rank: number, stages: readonly StageTiming[], microbatches: number) =>
    Math.min(microbatches, stages.length - rank, descendingLimit(options.maxStash, rank));
  return {
    name: '1f1b',
    chunks: 1,
    splitsBackward: false,
    actions: (rank, stages, microbatches) => actions(rank, microbatches, stashCap(rank, stages, microbatches) - 1),
    stashCap,
  };
}

function actions(stage: number, microbatches: number, ahead: number): Action[] {
  const list: Action[] = Array.from({ length: ahead }, (_, microbatch) => ({ op: 'F', stage, microbatch }));
  for (let microbatch = 0; microbatch < microbatches; microbatch++) {
    if (microbatch + ahead < microbatches) list.push({ op: 'F', stage, microbatch: microbatch + ahead });
    list.push({ op: 'B', stage, microbatch });
  }
  return list;
}
