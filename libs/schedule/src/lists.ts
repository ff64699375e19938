import type { Action, Schedule, StageTiming } from '@longtail/core';

/** What each worker of a pipeline does, by rank. */
export type ActionLists = readonly (readonly Action[])[];

export function listActions(schedule: Schedule, stages: readonly StageTiming[], microbatches: number): ActionLists {
  return Array.from({ length: workersOf(schedule, stages) }, (_, rank) => schedule.actions(rank, stages, microbatches));
}

export function workersOf({ name, chunks }: Pick<Schedule, 'name' | 'chunks'>, stages: readonly StageTiming[]): number {
  const workers = stages.length / chunks;
  if (!Number.isInteger(workers)) throw new RangeError(`${name}: ${stages.length} stages in chunks of ${chunks} a worker`);
  return workers;
}
