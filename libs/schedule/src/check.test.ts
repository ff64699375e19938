import type { Action } from '@longtail/core';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { checkSchedule } from './check.js';
import { listActions, type ActionLists } from './lists.js';
import { oneForwardOneBackward } from './one-forward-one-backward.js';
import { simulatePipeline } from './simulate.js';
import { equalStages } from './testing/arbitraries.js';
import { ordersOf } from './testing/exhaustive.js';
import { zeroBubble } from './zero-bubble.js';

const STAGES = equalStages(3, 1, 1, 1);
const MICROBATCHES = 4;
const expected = { stages: STAGES.length, microbatches: MICROBATCHES };
const whole = listActions(oneForwardOneBackward(), STAGES, MICROBATCHES);
const split = listActions(zeroBubble(), STAGES, MICROBATCHES);

/** The lists with worker 1's changed. */
const broken = (lists: ActionLists, change: (list: Action[]) => Action[]) =>
  lists.map((list, rank) => (rank === 1 ? change([...list]) : list));

function problemOf(lists: ActionLists, stashCaps?: readonly number[]): string {
  const check = checkSchedule(lists, { ...expected, stashCaps });
  return check.ok ? '' : check.problem;
}

const swap = (first: number, second: number) => (list: Action[]) => {
  [list[first], list[second]] = [list[second]!, list[first]!];
  return list;
};

test.each([
  ['an action is missing', broken(whole, (list) => list.slice(1)), 'stage 1, microbatch 0 wants F and either B or I and W'],
  ['an action comes twice', broken(whole, (list) => [...list, list[0]!]), 'F of stage 1, microbatch 0 comes twice'],
  ['a W is missing', broken(split, (list) => list.slice(0, -1)), 'stage 1, microbatch 3 wants F and either B or I and W'],
  [
    'a backward is both whole and split',
    broken(whole, (list) => [...list, { ...list[0]!, op: 'I' as const }]),
    'wants F and either B or I and W',
  ],
  [
    'an action is of no microbatch',
    broken(whole, (list) => [...list, { op: 'F', stage: 1, microbatch: 4 }]),
    'microbatch 4 does not exist',
  ],
  ['an action is another worker’s', [whole[1]!, whole[0]!, whole[2]!], 'F of stage 1, microbatch 0 is not worker 0'],
  ['B comes before its F', broken(whole, swap(0, 2)), 'B of stage 1, microbatch 0 comes before what it needs'],
  ['microbatches overtake each other', broken(whole, swap(0, 1)), 'from stage 0 to 1 the order of sends is not that of receives'],
])('%s: it says so', (_what, lists, problem) => {
  expect(problemOf(lists)).toContain(problem);
});

test('W before its I', () => {
  const first = split[1]!.findIndex(({ op }) => op === 'W');
  const input = split[1]!.findIndex(({ op, microbatch }) => op === 'I' && microbatch === split[1]![first]!.microbatch);
  expect(problemOf(broken(split, swap(first, input)))).toBe('W of stage 1, microbatch 0 comes before what it needs');
});

test('more stashes than declared', () => {
  expect(problemOf(whole, [3, 2, 1])).toBe('');
  expect(problemOf(whole, [3, 1, 1])).toBe('worker 1 holds 2 stashes, declared are 1');
});

test('on a single worker the order of its stages counts', () => {
  const actions = (...ops: [Action['op'], number][]) => [ops.map(([op, stage]) => ({ op, stage, microbatch: 0 }))];
  const one = { stages: 2, microbatches: 1 };
  expect(checkSchedule(actions(['F', 0], ['F', 1], ['B', 1], ['B', 0]), one)).toEqual({ ok: true, buffers: 0 });
  expect(checkSchedule(actions(['F', 1], ['F', 0], ['B', 1], ['B', 0]), one)).toMatchObject({ ok: false });
  expect(checkSchedule(actions(['F', 0], ['F', 1], ['B', 0], ['B', 1]), one)).toMatchObject({ ok: false });
});

test('random orders: a deadlock is found exactly where the simulation has one', () => {
  const orders = [0, 1, 2].map((stage) => fc.constantFrom(...ordersOf(stage, MICROBATCHES)));
  let deadlocks = 0;
  fc.assert(
    fc.property(fc.tuple(...orders), (lists) => {
      const problem = problemOf(lists);
      if (problem === '') simulatePipeline(lists, STAGES);
      else {
        deadlocks++;
        expect(problem).toMatch(/^deadlock: worker \d cannot receive/);
        expect(() => simulatePipeline(lists, STAGES)).toThrow('deadlock');
      }
    }),
    { numRuns: 300 },
  );
  expect(deadlocks).toBeGreaterThan(0);
});

test('the room that an edge needs is found', () => {
  const interleave = (stage: number, m: number, ahead: number) =>
    Array.from({ length: m + ahead }, (_, turn): Action[] => [
      ...(turn < m ? [{ op: 'F' as const, stage, microbatch: turn }] : []),
      ...(turn >= ahead ? [{ op: 'B' as const, stage, microbatch: turn - ahead }] : []),
    ]).flat();
  // Stage 0 takes no gradient before it has sent all of its m activations. With room for k a way stage 1 takes k + 1 of them
  // before it waits to send a gradient, k more wait, and that must be all: m ≤ 2k + 1.
  for (const [m, buffers] of [
    [3, 1],
    [5, 2],
    [6, 3],
    [7, 3],
  ] as const) {
    const lists = [interleave(0, m, m - 1), interleave(1, m, 0)];
    expect(checkSchedule(lists, { stages: 2, microbatches: m })).toEqual({ ok: true, buffers });
  }
});
