import type { GroupState, RoundState, SyncStrategy } from '@longtail/core';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { asp, ssp } from './asynchronous.js';

const deadlines = { deadlineFactor: 3, minDeadlineMs: 100 };

interface Group {
  readonly node: string;
  rounds: number;
  task: { startedAtMs: number; readonly tookMs: number; readonly expectedMs: number | undefined; readonly baseVersion: number } | undefined;
}

/** What a strategy does with groups whose tasks take the times given, one after the other; `look` sees each moment. */
function play(strategy: SyncStrategy, times: readonly (readonly number[])[], look: (state: RoundState, groups: readonly Group[]) => void) {
  const groups: Group[] = times.map((_, i) => ({ node: `n${i}`, rounds: 0, task: undefined }));
  const commits: { readonly node: string; readonly weight: number; readonly staleness: number; readonly atMs: number }[] = [];
  let version = 0;
  let nowMs = 0;
  const samples = 8;
  const stateNow = (): RoundState => ({
    round: 1,
    version,
    roundSamples: samples * groups.length,
    members: groups.map(({ node, rounds, task }): GroupState => {
      if (task === undefined) return { node, rounds, task, queued: 0 };
      const doneAtMs = task.startedAtMs + task.tookMs;
      return { node, rounds, task: { ...task, round: 1, samples, receives: true, deliveredAtMs: doneAtMs <= nowMs ? doneAtMs : undefined, recalled: false }, queued: 0 };
    }),
  });
  for (;;) {
    const state = stateNow();
    look(state, groups);
    const decision = strategy.decide(state, nowMs);
    const byNode = (node: string) => groups.find((group) => group.node === node)!;
    for (const { node } of decision.release) {
      byNode(node).task = undefined;
      byNode(node).rounds++;
    }
    for (const { node, weight } of decision.commit) {
      const group = byNode(node);
      commits.push({ node, weight, staleness: version - group.task!.baseVersion, atMs: nowMs });
      group.task = undefined;
      group.rounds++;
    }
    if (decision.commit.length > 0) version++;
    let began = false;
    for (const node of decision.proceed) {
      const group = byNode(node);
      const tookMs = times[groups.indexOf(group)]![group.rounds];
      expect(group.task).toBeUndefined();
      if (tookMs === undefined) continue;
      group.task = { startedAtMs: nowMs, tookMs, expectedMs: undefined, baseVersion: version };
      began = true;
    }
    if (decision.commit.length + decision.release.length > 0 || began) continue;
    const arrivals = groups.flatMap(({ task }) => (task === undefined ? [] : [task.startedAtMs + task.tookMs])).filter((at) => at > nowMs);
    if (arrivals.length === 0) return commits;
    nowMs = Math.min(...arrivals, decision.wakeAtMs ?? Infinity);
  }
}

const fleets = fc
  .record({ groups: fc.integer({ min: 1, max: 6 }), tasks: fc.integer({ min: 1, max: 12 }) })
  .chain(({ groups, tasks }) =>
    fc.array(fc.array(fc.integer({ min: 1, max: 1000 }), { minLength: tasks, maxLength: tasks }), { minLength: groups, maxLength: groups }),
  );

test('under any interleaving no group begins a task further ahead of the slowest than the bound, and none is held without need', () => {
  fc.assert(
    fc.property(fleets, fc.integer({ min: 0, max: 5 }), (times, staleness) => {
      const commits = play(ssp({ ...deadlines, staleness }, undefined), times, (_, groups) => {
        const clocks = groups.map(({ rounds }) => rounds);
        for (const { task, rounds } of groups) if (task !== undefined) expect(rounds - Math.min(...clocks)).toBeLessThanOrEqual(staleness);
      });
      // While a task is out every other group may end 2 · staleness + 1 of its own.
      const oldest = (times.length - 1) * (2 * staleness + 1);
      expect(Math.max(...commits.map((commit) => commit.staleness))).toBeLessThanOrEqual(oldest);
      expect(commits).toHaveLength(times.flat().length);
    }),
  );
});

test('with a bound of 0 all groups end a task before any begins the next', () => {
  fc.assert(
    fc.property(fleets, (times) => {
      const order = play(ssp({ ...deadlines, staleness: 0 }), times, () => undefined).map(({ node }) => node);
      for (let from = 0; from < order.length; from += times.length) {
        expect(new Set(order.slice(from, from + times.length)).size).toBe(times.length);
      }
    }),
  );
});

test('asp: nobody waits for anybody', () => {
  fc.assert(
    fc.property(fleets, (times) => {
      const commits = play(asp(deadlines), times, () => undefined);
      for (const [i, tasks] of times.entries()) {
        const own = commits.filter(({ node }) => node === `n${i}`).map(({ atMs }) => atMs);
        expect(own).toEqual(tasks.map((_, k) => tasks.slice(0, k + 1).reduce((a, b) => a + b, 0)));
      }
    }),
  );
});

test('a step has the learning rate of its samples, and every sample the same weight unless it is stale', () => {
  fc.assert(
    fc.property(fleets, fc.double({ min: 0, max: 2, noNaN: true }), (times, stalenessPower) => {
      const strategy = asp({ ...deadlines, stalenessPower });
      for (const { weight, staleness } of play(strategy, times, (state) => {
        const decision = strategy.decide(state, 1e6);
        const samples = decision.commit.reduce((sum, { node, weight: w }) => {
          return sum + w * state.members.find((member) => member.node === node)!.task!.samples;
        }, 0);
        if (decision.commit.length > 0) expect(decision.stepScale).toBeCloseTo(samples / state.roundSamples, 12);
      })) {
        if (staleness < times.length) expect(weight).toBe(1);
        else expect(weight).toBeCloseTo((1 + staleness - (times.length - 1)) ** -stalenessPower, 12);
      }
    }),
  );
});

const task = { round: 1, samples: 8, startedAtMs: 0, receives: true, expectedMs: 50, deliveredAtMs: undefined, baseVersion: 0, recalled: false };
const stateOf = (...members: GroupState[]): RoundState => ({ round: 1, version: 4, roundSamples: 16, members });

test('who misses its deadline is released, and holds nobody back from then on', () => {
  const strategy = ssp({ ...deadlines, staleness: 0 });
  const held = stateOf({ node: 'a', rounds: 1, task: undefined, queued: 0 }, { node: 'b', rounds: 0, task, queued: 0 });
  const waiting = strategy.decide(held, 149);
  expect(waiting).toMatchObject({ release: [], proceed: [], wakeAtMs: 150 });
  expect(waiting.reason).toBe('waiting for b; a may not run further ahead');
  expect(strategy.decide(held, 150).release).toEqual([{ node: 'b', reason: 'missed its deadline of 150 ms', late: false }]);
  const freed = stateOf({ node: 'a', rounds: 1, task: undefined, queued: 0 }, { node: 'b', rounds: 1, task: undefined, queued: 0 });
  expect(strategy.decide(freed, 150).proceed).toEqual(['a', 'b']);
});

test('one extreme estimate does not hold others up under a bound; without one it is nobody else\'s concern', () => {
  const members = stateOf({ node: 'a', rounds: 1, task, queued: 0 }, { node: 'b', rounds: 0, task: { ...task, expectedMs: 1e6 }, queued: 0 });
  expect(ssp({ ...deadlines, staleness: 1 }).decide(members, 599).release.map(({ node }) => node)).toEqual(['a']);
  expect(ssp({ ...deadlines, staleness: 1 }).decide(members, 600).release.map(({ node }) => node)).toEqual(['a', 'b']);
  expect(asp(deadlines).decide(members, 600).release.map(({ node }) => node)).toEqual(['a']);
});

test('the reason of a commit names how far behind each contribution was', () => {
  const { reason } = asp(deadlines).decide(stateOf({ node: 'a', rounds: 1, task: { ...task, deliveredAtMs: 9 }, queued: 0 }), 10);
  expect(reason).toBe('delivered: a (4 behind)');
});
