import { measuredOverlappedSteps, overlappedSteps, type GroupState, type RoundState, type TaskState } from '@longtail/core';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { streamingDiloco } from './streaming.js';

const strategy = streamingDiloco({ deadlineFactor: 3, minDeadlineMs: 100, quorum: 0.5, graceMs: 20 }, 2, overlappedSteps(5));

function member(node: string, round: number, overrides: Partial<TaskState> = {}, queued = 1): GroupState {
  const task = { round, samples: 8, startedAtMs: 0, receives: true, expectedMs: 50, deliveredAtMs: undefined, baseVersion: 1, recalled: false, ...overrides };
  return { node, rounds: 0, task, queued };
}

function state(...members: GroupState[]): RoundState {
  return { round: 9, version: 1, roundSamples: 64, members };
}

test('a group is given its next tasks while the one before them is under way, but no move of a fragment whose last one has no receipt', () => {
  const idle = { node: 'c', rounds: 0, task: undefined, queued: 0 };
  const members = state(member('a', 4, {}, 0), member('b', 4, {}, 1), member('d', 4, {}, 2), idle);
  expect(strategy.decide(members, 10).proceed).toEqual(['a', 'b', 'c']);
  expect(streamingDiloco({ deadlineFactor: 3, minDeadlineMs: 100 }, 5, overlappedSteps(5)).decide(members, 10).proceed).toEqual(['a', 'b', 'c']);
  expect(streamingDiloco({ deadlineFactor: 3, minDeadlineMs: 100 }, 1, overlappedSteps(5)).decide(members, 10).proceed).toEqual(['a', 'c']);
  expect(strategy.decide(state(idle), 10)).toMatchObject({ proceed: ['c'], reason: 'a round begins' });
});

test('the oldest round is decided first: who is ahead of it is neither waited for nor committed', () => {
  const ahead = member('a', 5, { deliveredAtMs: 55 }, 1);
  const waiting = strategy.decide(state(ahead, member('b', 4, {}, 2), member('c', 4, {}, 2)), 60);
  expect(waiting).toMatchObject({ commit: [], proceed: ['a'] });
  expect(waiting.reason).toBe('waiting for b, c');
  const delivered = strategy.decide(state(ahead, member('b', 4, { deliveredAtMs: 58 }), member('c', 4, { deliveredAtMs: 59 })), 60);
  expect(delivered.commit).toEqual([{ node: 'b', weight: 1 }, { node: 'c', weight: 1 }]);
});

test('a quorum and its grace are of the round, and the late one is told which', () => {
  const decision = strategy.decide(state(member('a', 4, { deliveredAtMs: 40 }), member('b', 4)), 60);
  expect(decision.commit).toEqual([{ node: 'a', weight: 1 }]);
  expect(decision.release).toEqual([{ node: 'b', reason: 'came after the quorum of round 4 and its grace', late: true }]);
});

test('who began a round before the others does not shorten it', () => {
  const patient = streamingDiloco({ deadlineFactor: 3, minDeadlineMs: 100 }, 2, overlappedSteps(5));
  const members = state(member('a', 4, { startedAtMs: 0, deliveredAtMs: 50 }), member('b', 4, { startedAtMs: 200 }));
  expect(patient.decide(members, 262)).toMatchObject({ recall: [], wakeAtMs: 262.5 });
  expect(patient.decide(members, 262.5).recall).toEqual(['b']);
  expect(patient.decide(members, 349).release).toEqual([]);
  expect(patient.decide(members, 350).release.map(({ node }) => node)).toEqual(['b']);
});

test('who only brings home what it stepped before is no measure for those who step', () => {
  const home = { samples: 0, expectedMs: 1, deliveredAtMs: 1 };
  const members = state(member('a', 4), member('b', 4, home));
  expect(strategy.decide(members, 149)).toMatchObject({ release: [], recall: [] });
  const strict = streamingDiloco({ deadlineFactor: 3, minDeadlineMs: 100 }, 2, overlappedSteps(5));
  const sending = state(member('a', 4, { deliveredAtMs: 50 }), member('b', 4, { ...home, deliveredAtMs: undefined }));
  expect(strict.decide(sending, 149)).toMatchObject({ commit: [], release: [], reason: 'waiting for b' });
  const slow = strategy.decide(state(member('a', 4, { deliveredAtMs: 50 }), member('b', 4, home), member('c', 4)), 149);
  expect(slow).toMatchObject({ commit: [{ node: 'a', weight: 1 }, { node: 'b', weight: 1 }], release: [{ node: 'c', late: true }] });
});

test('steps beside an exchange are as many as fit the time of the fastest, fractions included', () => {
  const pace = fc.record({ stepMs: fc.double({ min: 0.1, max: 1e4, noNaN: true }) });
  fc.assert(
    fc.property(fc.array(pace, { minLength: 1, maxLength: 6 }), fc.integer({ min: 1, max: 500 }), (paces, most) => {
      const groups = paces.map(({ stepMs }, i) => ({ node: `n${i}`, stepMs, exchangeMs: undefined }));
      const { steps } = overlappedSteps(most)(groups);
      const times = groups.map(({ node, stepMs }) => steps.get(node)! * stepMs);
      for (const time of times) expect(time / times[0]!).toBeCloseTo(1, 9);
      expect(Math.max(...steps.values())).toBeCloseTo(most, 9);
    }),
  );
});

test('measured, they hide the longest exchange', () => {
  const groups = [
    { node: 'fast', stepMs: 100, exchangeMs: 900 },
    { node: 'slow', stepMs: 400, exchangeMs: 3000 },
  ];
  const { steps, reason } = measuredOverlappedSteps(4)(groups);
  expect([...steps.values()]).toEqual([50, 12.5]);
  expect(reason).toBe('an exchange of 3.0 s hides behind 50 steps of 100 ms of the fastest');
  expect(measuredOverlappedSteps(4)(groups.map((group) => ({ ...group, exchangeMs: undefined }))).reason).toBe('no exchange was measured yet');
});
