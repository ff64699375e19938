import type { MakespanOf } from '@longtail/core';
import { estimateMakespan } from '@longtail/planner';
import { createSchedule, listActions, simulatePipeline, simulateSteps, type PipelineTrace } from '@longtail/schedule';

/** Forward passes in all from which on the estimate is taken: the fill, where the two differ, no longer counts. */
const LONG_PIPELINE = 8192;

/** How long a schedule takes, with the sums between its steps, by simulating the lists that the workers will be given. */
export const exactMakespan: MakespanOf = (stages, microbatches, maxStash, order) => {
  if (stages.length * microbatches > LONG_PIPELINE) return estimateMakespan(stages, microbatches, maxStash, order);
  const schedule = createSchedule(order.schedule, { chunks: order.chunks, maxStash });
  const lists = listActions(schedule, stages, microbatches);
  const stashOf = ({ ranks }: PipelineTrace) => ranks.map(({ peakStash }) => peakStash);
  if (order.sums !== undefined) {
    const { stepMs, trace } = simulateSteps(lists, stages, order.sums);
    return { makespanMs: stepMs, stash: stashOf(trace) };
  }
  const trace = simulatePipeline(lists, stages);
  return { makespanMs: trace.makespanMs, stash: stashOf(trace) };
};
