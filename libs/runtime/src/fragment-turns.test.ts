import { expect, test } from 'vitest';
import { FragmentTurns } from './fragment-turns.js';
import type { Group } from './group.js';
import type { GroupTask } from './group-task.js';

const group = {} as Group;
const task = (segments: readonly number[], samples: number | undefined, status = 'delivered') =>
  ({ group, status, done: samples === undefined ? undefined : { samples }, task: { parts: segments.map((segment) => ({ segment })) } }) as unknown as GroupTask;

test('rounds go through the fragments in turn, and each group through all rounds', () => {
  const turns = new FragmentTurns(3, 7);
  expect([0, 1, 2].map((open) => turns.roundOf(group, open))).toEqual([7, 8, 9]);
  turns.leave(group);
  turns.ended(task([1], 10));
  expect([0, 1].map((open) => turns.roundOf(group, open))).toEqual([9, 10]);
  expect(turns.roundOf({} as Group, 0)).toBe(7);
  expect([10, 11, 12, 13].map((round) => turns.fragmentOf(round))).toEqual([1, 2, 0, 1]);
});

test('a move is of all samples since the fragment was sent last, and what was not sent is owed', () => {
  const turns = new FragmentTurns(3, 1);
  expect(turns.owedBy(group)).toEqual([]);
  expect([...turns.ended(task([1], 10))]).toEqual([[1, 10]]);
  expect([...turns.ended(task([2], 5))]).toEqual([[2, 15]]);
  expect(turns.owedBy(group)).toEqual([0, 1]);
  expect([...turns.ended(task([0, 1], 0))]).toEqual([[0, 15], [1, 5]]);
  expect(turns.owedBy(group)).toEqual([]);
});

test('a group that is called off in the midst of its steps owes nothing: it begins anew', () => {
  const turns = new FragmentTurns(2, 1);
  turns.ended(task([0], 8));
  turns.ended(task([1], undefined, 'out'));
  expect(turns.owedBy(group)).toEqual([]);
});

test('fractions of steps add up over the rounds, and nobody takes none', () => {
  const turns = new FragmentTurns(2, 1);
  expect([1, 2, 3, 4].map(() => turns.wholeSteps(group, 2.5))).toEqual([2, 3, 2, 3]);
  const other = {} as Group;
  expect([1, 2, 3, 4].map(() => turns.wholeSteps(other, 0.25))).toEqual([1, 1, 1, 1]);
});
