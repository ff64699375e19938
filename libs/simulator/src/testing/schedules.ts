import type { Action, Schedule, ScheduleName } from '@longtail/core';

/** The obvious versions, written for these tests; libs/schedule has the real ones. */
export function simpleSchedule(name: ScheduleName): Schedule | undefined {
  switch (name) {
    case 'gpipe':
      return schedule(name, (_rank, _stages, m) => m);
    case '1f1b':
      return schedule(name, (rank, stages, m) => Math.min(m, stages - rank));
    case 'capped-1f1b':
      return schedule(name, (rank, stages, m) => Math.min(m, stages - rank + 2));
    case 'zero-bubble':
      return splitBackward(schedule(name, (rank, stages, m) => Math.min(m, stages - rank)));
    default:
      return undefined;
  }
}

/** `ahead` forward passes before the first backward pass, then one of each in turn. */
function schedule(name: ScheduleName, ahead: (rank: number, stages: number, microbatches: number) => number): Schedule {
  return {
    name,
    actions(rank, { length: stages }, microbatches) {
      const warmUp = ahead(rank, stages, microbatches);
      const actions: Action[] = [];
      for (let next = 0; next < microbatches + warmUp; next++) {
        if (next >= warmUp) actions.push({ op: 'B', stage: rank, microbatch: next - warmUp });
        if (next < microbatches) actions.push({ op: 'F', stage: rank, microbatch: next });
      }
      return actions;
    },
    stashCap: (rank, { length: stages }, microbatches) => ahead(rank, stages, microbatches),
  };
}

/** Each weight gradient right behind its input gradient, but for the last ones, which wait for the end. */
function splitBackward(whole: Schedule): Schedule {
  return {
    ...whole,
    actions(rank, stages, microbatches) {
      const deferred: Action[] = [];
      const actions = whole.actions(rank, stages, microbatches).flatMap((action): Action[] => {
        if (action.op !== 'B') return [action];
        const weights = { ...action, op: 'W' } as const;
        if (action.microbatch < microbatches - 1) return [{ ...action, op: 'I' }, weights];
        deferred.push(weights);
        return [{ ...action, op: 'I' }];
      });
      return [...actions, ...deferred];
    },
  };
}
