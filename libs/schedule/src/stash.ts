import type { Action } from '@longtail/core';

/** Most stashes that each worker has memory for, by rank; what is not named is not limited. */
export type StashLimit = readonly number[];

/** Most stashes held at once when the actions are done in this order, whatever they take. */
export function peakStash(actions: readonly Action[]): number {
  let [held, peak] = [0, 0];
  for (const { op } of actions) {
    if (op === 'F') peak = Math.max(peak, ++held);
    else if (op !== 'I') held--;
  }
  return peak;
}

/** A worker without room for a single stash cannot work: the planner has to see to that. */
export function limitOf(limit: StashLimit | undefined, rank: number): number {
  const most = limit?.[rank] ?? Infinity;
  if (!(most >= 1)) throw new RangeError(`worker ${rank} has room for ${most} stashes`);
  return Math.floor(most);
}

/**
 * The limit for schedules in which a worker runs a fixed number of forwards ahead: it must not grow from stage to stage.
 * A stage that awaits more forwards than its predecessor may run ahead would wait for ever.
 */
export function descendingLimit(limit: StashLimit | undefined, rank: number): number {
  return Math.min(...Array.from({ length: rank + 1 }, (_, upstream) => limitOf(limit, upstream)));
}
