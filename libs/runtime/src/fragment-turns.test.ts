import { expect, test } from 'vitest';
import { FragmentTurns } from './fragment-turns.js';
import type { Group } from './group.js';
import type { GroupTask } from './group-task.js';

const group = {} as Group;
/** Of one lease, named by its number of samples. */
const task = (segments: readonly number[], samples: number) => {
  const leases = samples > 0 ? [{ id: samples, samples }] : [];
  return { group, leases, leasesDone: leases.length, done: { samples }, task: { parts: segments.map((segment) => ({ segment })) } } as unknown as GroupTask;
};
const taken = (turns: FragmentTurns, segments: readonly number[], samples: number) => {
  const moved = turns.taken(task(segments, samples));
  return { samples: [...moved.samples], whole: moved.whole.map(({ id }) => id) };
};

test('rounds go through the fragments in turn, and each group through all rounds', () => {
  const turns = new FragmentTurns(3, 7);
  expect([0, 1, 2].map((open) => turns.roundOf(group, open))).toEqual([7, 8, 9]);
  turns.leave(group);
  turns.taken(task([1], 10));
  expect([0, 1].map((open) => turns.roundOf(group, open))).toEqual([9, 10]);
  expect(turns.roundOf({} as Group, 0)).toBe(7);
  expect([10, 11, 12, 13].map((round) => turns.fragmentOf(round))).toEqual([1, 2, 0, 1]);
});

test('a move is of all samples since the fragment was sent last, and samples are applied with the last fragment that carries them', () => {
  const turns = new FragmentTurns(3, 1);
  expect(turns.owedBy(group)).toEqual([]);
  expect(taken(turns, [1], 10)).toEqual({ samples: [[1, 10]], whole: [] });
  expect(taken(turns, [2], 5)).toEqual({ samples: [[2, 15]], whole: [] });
  expect(turns.owedBy(group)).toEqual([0, 1]);
  expect(taken(turns, [0], 2)).toEqual({ samples: [[0, 17]], whole: [10] });
  expect(taken(turns, [1, 2], 0)).toEqual({ samples: [[1, 7], [2, 2]], whole: [5, 2] });
  expect([turns.owedBy(group), turns.owing]).toEqual([[], []]);
});

test('a group that begins anew owes nothing: what is not part of every fragment is lost', () => {
  const turns = new FragmentTurns(2, 1);
  taken(turns, [0], 8);
  expect(taken(turns, [1], 4).whole).toEqual([8]);
  expect(turns.owing).toEqual([group]);
  expect(turns.lost(group)).toMatchObject([{ id: 4 }]);
  expect([turns.owedBy(group), turns.owing, turns.lost(group)]).toEqual([[], [], []]);
});

test('fractions of steps add up over the rounds, and nobody takes none', () => {
  const turns = new FragmentTurns(2, 1);
  expect([1, 2, 3, 4].map(() => turns.wholeSteps(group, 2.5))).toEqual([2, 3, 2, 3]);
  const other = {} as Group;
  expect([1, 2, 3, 4].map(() => turns.wholeSteps(other, 0.25))).toEqual([1, 1, 1, 1]);
});
