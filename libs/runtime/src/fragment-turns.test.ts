import fc from 'fast-check';
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
  expect([0, 1, 2].map((fragment) => turns.unsentOf(fragment))).toEqual([15, 5, 0]);
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

test('fractions of steps add up over the rounds; who has no whole one skips some', () => {
  const turns = new FragmentTurns(3, 1);
  const next = (who: Group, steps: number) => {
    const { round, rounds, steps: whole } = turns.nextTask(who, 0, steps);
    turns.leave(who);
    return [round, rounds, whole];
  };
  expect([1, 2, 3, 4].map(() => next(group, 2.5))).toEqual([[1, 1, 2], [2, 1, 3], [3, 1, 2], [4, 1, 3]]);
  const slow = {} as Group;
  expect([1, 2, 3].map(() => next(slow, 0.4))).toEqual([[3, 3, 1], [5, 2, 1], [10, 5, 2]]);
});

test('however slow a group is, it sends every fragment, and takes the steps that are due', () => {
  fc.assert(
    fc.property(fc.double({ min: 0.02, max: 3, noNaN: true }), fc.integer({ min: 1, max: 8 }), fc.integer({ min: 1, max: 1000 }), (steps, count, first) => {
      const turns = new FragmentTurns(count, first);
      const tasks = Array.from({ length: 6 * count }, (_, i) => {
        const open = i % 2; // one is under way while the next one is given
        const task = turns.nextTask(group, open, steps);
        if (open === 1) for (const _ of [0, 1]) turns.leave(group);
        return task;
      });
      const rounds = tasks.map(({ round }) => round);
      expect(rounds).toEqual([...new Set(rounds)].sort((a, b) => a - b));
      expect(Math.min(...tasks.map((task) => task.steps))).toBeGreaterThanOrEqual(1);
      const due = steps * (rounds.at(-1)! - first + 1);
      const taken = tasks.reduce((sum, task) => sum + task.steps, 0);
      expect(Math.abs(due - taken)).toBeLessThan(1 + 1e-6);
      const fragments = rounds.map((round) => turns.fragmentOf(round));
      for (let from = 0; from < fragments.length; from += count) expect(new Set(fragments.slice(from, from + count)).size).toBe(count);
    }),
  );
});

test('wherever a group is, it takes a step or more, as many as are due, and sends every fragment in turn', () => {
  const behind = fc.array(fc.double({ min: -20, max: 20, noNaN: true }), { minLength: 12, maxLength: 40 });
  fc.assert(
    fc.property(fc.double({ min: 0.02, max: 5, noNaN: true }), fc.integer({ min: 1, max: 6 }), behind, (average, count, lags) => {
      const turns = new FragmentTurns(count, 1);
      let last = 0;
      const fragments = lags.map((lag) => {
        const due = (round: number) => (round - last) * average - lag;
        const { round, rounds, steps } = turns.nextTask(group, 0, average, due);
        turns.leave(group);
        expect([round, steps]).toEqual([last + rounds, Math.max(1, Math.floor(due(round) + 1e-9))]);
        // Whoever takes one a round skips none for being behind.
        if (average >= 1) expect(rounds).toBeLessThanOrEqual(1);
        last = round;
        return turns.fragmentOf(round);
      });
      for (let from = 0; from + count <= fragments.length; from += count) expect(new Set(fragments.slice(from, from + count)).size).toBe(count);
    }),
  );
});

test('a group that measured next to no speed has its step all the same', () => {
  const { round, rounds, steps } = new FragmentTurns(3, 1).nextTask({} as Group, 0, 4e-13);
  expect({ round, rounds, steps }).toEqual({ round: 100, rounds: 100, steps: 1 });
});
