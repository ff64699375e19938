import type { Action, StageTiming } from '@longtail/core';
import { simulatePipeline } from '../simulate.js';

/** The shortest makespan of all orders that there are, with whole backwards; for a handful of microbatches. */
export function shortestOfAll(stages: readonly StageTiming[], microbatches: number): number {
  let shortestMs = Infinity;
  for (const lists of product(stages.map((_, stage) => ordersOf(stage, microbatches)))) {
    try {
      shortestMs = Math.min(shortestMs, simulatePipeline(lists, stages).makespanMs);
    } catch {
      // These orders wait for each other.
    }
  }
  return shortestMs;
}

/** Microbatches are alike, so each stage takes them in turn; what differs is which backward comes between which forwards. */
export function ordersOf(stage: number, microbatches: number): readonly (readonly Action[])[] {
  const extend = (order: readonly Action[], forwards: number, backwards: number): (readonly Action[])[] => {
    if (backwards === microbatches) return [order];
    const longer: (readonly Action[])[] = [];
    if (forwards < microbatches) longer.push(...extend([...order, { op: 'F', stage, microbatch: forwards }], forwards + 1, backwards));
    if (backwards < forwards) longer.push(...extend([...order, { op: 'B', stage, microbatch: backwards }], forwards, backwards + 1));
    return longer;
  };
  return extend([], 0, 0);
}

function product<T>(choices: readonly (readonly T[])[]): T[][] {
  return choices.reduce<T[][]>((all, next) => all.flatMap((one) => next.map((item) => [...one, item])), [[]]);
}
