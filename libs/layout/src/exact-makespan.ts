import type { Makespan, MakespanOf } from '@longtail/core';
import { estimateMakespan } from '@longtail/planner';
import { createSchedule, listActions, peakStash, pipelineMakespan, simulateSteps } from '@longtail/schedule';

/** Forward passes in all from which on the estimate is taken: the fill, where the two differ, no longer counts. */
const LONG_PIPELINE = 8192;

/**
 * How long a schedule takes, with the sums between its steps, by simulating the lists that the workers will be given. What it was asked once it
 * remembers: of a plan's pipelines many are alike, and each is asked for several times.
 */
export function exactMakespan(): MakespanOf {
  const known = new Map<string, Makespan>();
  return (...asked) => {
    const [stages, microbatches] = asked;
    if (stages.length * microbatches > LONG_PIPELINE) return estimateMakespan(...asked);
    const key = JSON.stringify(asked);
    const makespan = known.get(key) ?? simulated(...asked);
    known.set(key, makespan);
    return makespan;
  };
}

const simulated: MakespanOf = (stages, microbatches, maxStash, { schedule, chunks, sums }) => {
  const lists = listActions(createSchedule(schedule, { chunks, maxStash }), stages, microbatches);
  const makespanMs = pipelineMakespan(lists, stages);
  return { makespanMs, sumsMs: sums === undefined ? 0 : simulateSteps(lists, stages, sums) - makespanMs, stash: lists.map(peakStash) };
};
