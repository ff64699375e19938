import type { Action, Schedule, StageTiming } from '@longtail/core';
import { descendingLimit, type StashLimit } from './stash.js';

/**
 * ZB-H1 (Qi et al. 2024): 1F1B with the backward split. Stage s puts its weight gradients off by s microbatches, so that
 * input gradients reach the stages above sooner and the W fill what would be the bubble at the end.
 * m(F+I+W)+(p−1)(F+I−W) on equal stages with F = I = W and m ≥ p; every stage stashes as much as 1F1B's first, p.
 * With less memory than that the weight gradients are put off less.
 */
export function zeroBubble(options: { readonly maxStash?: StashLimit } = {}): Schedule {
  const stashCap = (rank: number, stages: readonly StageTiming[], microbatches: number) =>
    Math.min(microbatches, stages.length, descendingLimit(options.maxStash, rank));
  return {
    name: 'zero-bubble',
    chunks: 1,
    splitsBackward: true,
    actions(rank, stages, microbatches) {
      const spare = stashCap(rank, stages, microbatches) - 1;
      const ahead = Math.min(spare, stages.length - 1 - rank);
      return actions(rank, microbatches, ahead, spare - ahead);
    },
    stashCap,
  };
}

function actions(stage: number, microbatches: number, ahead: number, putOff: number): Action[] {
  const list: Action[] = Array.from({ length: ahead }, (_, microbatch) => ({ op: 'F', stage, microbatch }));
  for (let microbatch = 0; microbatch < microbatches; microbatch++) {
    if (microbatch + ahead < microbatches) list.push({ op: 'F', stage, microbatch: microbatch + ahead });
    list.push({ op: 'I', stage, microbatch });
    if (microbatch >= putOff) list.push({ op: 'W', stage, microbatch: microbatch - putOff });
  }
  for (let microbatch = Math.max(0, microbatches - putOff); microbatch < microbatches; microbatch++)
    list.push({ op: 'W', stage, microbatch });
  return list;
}
