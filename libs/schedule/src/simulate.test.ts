import type { Action, StageTiming } from '@longtail/core';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { durationMs } from './durations.js';
import { interleaved } from './interleaved.js';
import { listActions, type ActionLists } from './lists.js';
import { oneForwardOneBackward } from './one-forward-one-backward.js';
import { simulatePipeline } from './simulate.js';
import { equalStages, stagesOf } from './testing/arbitraries.js';
import { transfersOf } from './transfers.js';
import { zeroBubble } from './zero-bubble.js';

/** The slow way: all ends at 0, then each is put off until it is after all that it depends on, until none moves. */
function ends(lists: ActionLists, stages: readonly StageTiming[]): number[][] {
  const workers = lists.length;
  const endMs = lists.map((list) => list.map(() => 0));
  const outbox = lists.map((list) => transfersOf(list, { workers, stages: stages.length }).filter(({ kind }) => kind === 'send'));
  const inbox = lists.map((list) => transfersOf(list, { workers, stages: stages.length }).filter(({ kind }) => kind === 'receive'));
  const indexOf = (rank: number, wanted: Action) =>
    lists[rank]!.findIndex(({ op, stage, microbatch }) => op === wanted.op && stage === wanted.stage && microbatch === wanted.microbatch);
  for (let moved = true; moved;) {
    moved = false;
    const arrivals = new Map<string, number>();
    for (const [rank, sends] of outbox.entries()) {
      let freeMs = 0;
      for (const { tensor, fromStage, toStage, microbatch, action } of sends) {
        const timing = stages[Math.min(fromStage, toStage)]!;
        const leavesMs = Math.max(freeMs, endMs[rank]![action]!);
        freeMs = leavesMs + ((tensor === 'activation' ? timing.activationSendMs : timing.gradientSendMs) ?? 0);
        const hopMs = tensor === 'activation' ? timing.activationHopMs : timing.gradientHopMs;
        arrivals.set(`${tensor}/${toStage}/${microbatch}`, leavesMs + hopMs);
      }
    }
    for (const [rank, list] of lists.entries()) {
      for (const [index, action] of list.entries()) {
        const needs = [index === 0 ? 0 : endMs[rank]![index - 1]!];
        const received = inbox[rank]!.find((transfer) => transfer.action === index);
        if (received) needs.push(arrivals.get(`${received.tensor}/${received.toStage}/${received.microbatch}`)!);
        if (action.op === 'W') needs.push(endMs[rank]![indexOf(rank, { ...action, op: 'I' })]!);
        const end = Math.max(...needs) + durationMs(action.op, stages[action.stage]!);
        moved ||= end !== endMs[rank]![index];
        endMs[rank]![index] = end;
      }
    }
  }
  return endMs;
}

test('every end is the longest path to it', () => {
  const schedules = [oneForwardOneBackward(), zeroBubble(), interleaved({ chunks: 2 })];
  const cases = fc.constantFrom(...schedules).chain((schedule) =>
    fc.tuple(
      fc.constant(schedule),
      fc.integer({ min: 1, max: 4 }).chain((p) => stagesOf(p * schedule.chunks)),
      fc.integer({ min: 1, max: 8 }),
    ),
  );
  fc.assert(
    fc.property(cases, ([schedule, stages, microbatches]) => {
      const lists = listActions(schedule, stages, microbatches);
      const trace = simulatePipeline(lists, stages);
      expect(trace.ranks.map(({ actions }) => actions.map(({ endMs }) => endMs))).toEqual(ends(lists, stages));
    }),
  );
});

test('two stages by hand: starts, bubble and stash', () => {
  const stages = equalStages(2, 1, 2, 0).map((timing, stage) =>
    stage === 0 ? { ...timing, activationHopMs: 3, gradientHopMs: 4 } : timing,
  );
  const trace = simulatePipeline(listActions(oneForwardOneBackward(), stages, 2), stages);
  const spans = trace.ranks.map(({ actions }) =>
    actions.map(({ op, microbatch, startMs, endMs }) => `${op}${microbatch} ${startMs}–${endMs}`),
  );
  expect(spans).toEqual([
    ['F0 0–1', 'F1 1–2', 'B0 11–13', 'B1 14–16'],
    ['F0 4–5', 'B0 5–7', 'F1 7–8', 'B1 8–10'],
  ]);
  expect(trace).toMatchObject({
    makespanMs: 16,
    peakInFlight: 2,
    ranks: [
      { busyMs: 6, idleMs: 10, peakStash: 2 },
      { busyMs: 6, idleMs: 10, peakStash: 1 },
    ],
  });
});

test('a message waits for the one before it, the rest of the hop overlaps', () => {
  const stages = equalStages(2, 1, 1, 0).map((timing, stage) =>
    stage === 0 ? { ...timing, activationHopMs: 7, activationSendMs: 5 } : timing,
  );
  const [, second] = simulatePipeline(
    [
      ['F', 'F', 'F', 'B', 'B', 'B'].map((op, i) => ({ op: op as 'F' | 'B', stage: 0, microbatch: i % 3 })),
      ['F', 'F', 'F', 'B', 'B', 'B'].map((op, i) => ({ op: op as 'F' | 'B', stage: 1, microbatch: i % 3 })),
    ],
    stages,
  ).ranks;
  expect(second!.actions.slice(0, 3).map(({ startMs }) => startMs)).toEqual([8, 13, 18]);
});

test('orders that wait for each other are refused by name', () => {
  const lists: ActionLists = [
    [
      { op: 'F', stage: 0, microbatch: 0 },
      { op: 'B', stage: 0, microbatch: 0 },
      { op: 'F', stage: 0, microbatch: 1 },
      { op: 'B', stage: 0, microbatch: 1 },
    ],
    [
      { op: 'F', stage: 1, microbatch: 0 },
      { op: 'F', stage: 1, microbatch: 1 },
      { op: 'B', stage: 1, microbatch: 0 },
      { op: 'B', stage: 1, microbatch: 1 },
    ],
  ];
  expect(() => simulatePipeline(lists, equalStages(2, 1, 1, 1))).toThrow(
    'deadlock: worker 0 waits for the input of B of stage 0, microbatch 0',
  );
});
