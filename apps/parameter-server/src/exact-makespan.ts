import type { MakespanOf } from '@longtail/core';
import { estimateMakespan } from '@longtail/planner';
import { createSchedule, listActions, simulatePipeline } from '@longtail/schedule';

/** Forward passes in all from which on the estimate is taken: the fill, where the two differ, no longer counts. */
const LONG_PIPELINE = 8192;

/** How long a schedule takes, by simulating the lists that the workers will be given. */
export const exactMakespan: MakespanOf = (stages, microbatches, maxStash, order) => {
  if (stages.length * microbatches > LONG_PIPELINE) return estimateMakespan(stages, microbatches, maxStash, order);
  const schedule = createSchedule(order.schedule, { chunks: order.chunks, maxStash });
  const { makespanMs, ranks } = simulatePipeline(listActions(schedule, stages, microbatches), stages);
  return { makespanMs, stash: ranks.map(({ peakStash }) => peakStash) };
};
