import type { MakespanOf, ScheduleName } from '@longtail/core';
import { estimateMakespan } from '@longtail/planner';
import { createSchedule, listActions, simulatePipeline } from '@longtail/schedule';

/** Forward passes in all from which on the estimate is taken: the fill, where the two differ, no longer counts. */
const LONG_PIPELINE = 8192;

/** How long a schedule takes, by simulating the lists that the workers will be given. */
export function exactMakespan(schedule: ScheduleName): MakespanOf {
  return (stages, microbatches, maxStash) => {
    if (stages.length * microbatches > LONG_PIPELINE) return estimateMakespan(stages, microbatches);
    const { makespanMs, ranks } = simulatePipeline(listActions(createSchedule(schedule, { maxStash }), stages, microbatches), stages);
    return { makespanMs, busyMs: ranks.map(({ busyMs }) => busyMs), stash: ranks.map(({ peakStash }) => peakStash) };
  };
}
