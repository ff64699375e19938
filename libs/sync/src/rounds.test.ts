import { dynamicLocalSteps, type GroupState, type RoundState, type SyncStrategy, type TaskState } from '@longtail/core';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { bsp, diloco } from './rounds.js';

const strategy = bsp({ deadlineFactor: 3, minDeadlineMs: 100 });

function member(node: string, overrides: Partial<TaskState> = {}): GroupState {
  const task = { round: 1, samples: 8, startedAtMs: 0, receives: true, expectedMs: 50, deliveredAtMs: undefined, baseVersion: 1, recalled: false, ...overrides };
  return { node, rounds: 0, task, queued: 0 };
}

function round(...members: GroupState[]): RoundState {
  return { round: 7, version: 1, roundSamples: 64, members };
}

test('a batch that is not whole steps with its part of the learning rate; moves are taken as far as they go', () => {
  const state = (...samples: readonly number[]) => round(...samples.map((count, i) => member(`n${i}`, { samples: count, deliveredAtMs: 40 })), member('late', { samples: 20 }));
  expect(strategy.decide(state(24, 20), 1e6)).toMatchObject({ commit: [{ node: 'n0' }, { node: 'n1' }], stepScale: 44 / 64 });
  expect(strategy.decide(round(member('a', { samples: 64, deliveredAtMs: 40 })), 40).stepScale).toBe(1);
  expect(strategy.decide(round(member('a', { samples: 1, deliveredAtMs: 40 })), 40).stepScale).toBe(1 / 64);
  expect(diloco({ deadlineFactor: 3, minDeadlineMs: 100 }, dynamicLocalSteps(8)).decide(state(24, 20), 1e6).stepScale).toBe(1);
});

test('a round begins for all groups at once, when none is at work', () => {
  const idle = ['a', 'b'].map((node) => ({ node, rounds: 3, task: undefined, queued: 0 }));
  expect(strategy.decide(round(...idle), 0).proceed).toEqual(['a', 'b']);
  expect(strategy.decide(round(idle[0]!, member('b')), 0).proceed).toEqual([]);
});

test('commits at once when all have delivered, in the order of the members', () => {
  const decision = strategy.decide(round(member('b', { deliveredAtMs: 60 }), member('a', { deliveredAtMs: 40 })), 60);
  expect(decision.commit).toEqual([
    { node: 'b', weight: 1 },
    { node: 'a', weight: 1 },
  ]);
  expect(decision.release).toEqual([]);
});

test('waits for a missing member until the deadline, then commits without it and says why', () => {
  const state = round(member('a', { deliveredAtMs: 40 }), member('b'));
  expect(strategy.decide(state, 149)).toMatchObject({ commit: [], release: [], wakeAtMs: 150 });
  expect(strategy.decide(state, 150)).toMatchObject({
    commit: [{ node: 'a', weight: 1 }],
    release: [{ node: 'b', reason: 'missed the deadline of 150 ms of round 7', late: false }],
  });
});

test('the minimum deadline counts for short rounds', () => {
  const state = round(member('a', { expectedMs: 1, deliveredAtMs: 1 }), member('b', { expectedMs: 1 }));
  expect(strategy.decide(state, 50).wakeAtMs).toBe(100);
});

test('when even the fastest took longer than expected, all are given more time', () => {
  const state = round(member('a', { deliveredAtMs: 400 }), member('b'));
  expect(strategy.decide(state, 400).wakeAtMs).toBe(1200);
});

test('who has its parameters already says nothing of how long those take who are sent them', () => {
  const drew = member('a', { receives: false, expectedMs: undefined, deliveredAtMs: 10 });
  const sent = (node: string, overrides: Partial<TaskState> = {}) => member(node, { expectedMs: undefined, ...overrides });
  for (const one of [strategy, diloco({ deadlineFactor: 3, minDeadlineMs: 100 }, dynamicLocalSteps(8))]) {
    expect(one.decide(round(drew, sent('b'), sent('c')), 5000)).toMatchObject({ commit: [], release: [], recall: [], wakeAtMs: undefined, needs: 1 });
  }
  expect(strategy.decide(round(drew, sent('b', { deliveredAtMs: 400 }), sent('c')), 5000)).toMatchObject({ release: [{ node: 'c' }], reason: expect.stringContaining('1200 ms') });
  // Once all are known, they are expected at their time; and where nobody is sent anything, as in the round after one that came to nothing, the fastest says how long it takes.
  expect(strategy.decide(round(member('a', { receives: false, deliveredAtMs: 10 }), member('b')), 20).wakeAtMs).toBe(150);
  expect(strategy.decide(round(member('a', { receives: false, deliveredAtMs: 400 }), member('b', { receives: false })), 400).wakeAtMs).toBe(1200);
});

test('with nothing delivered nobody is held up: the round is given up only after ten deadlines', () => {
  const state = round(member('a'), member('b'));
  expect(strategy.decide(state, 1499)).toMatchObject({ release: [], wakeAtMs: 1500 });
  expect(strategy.decide(state, 1500)).toMatchObject({ commit: [], release: [{ node: 'a' }, { node: 'b' }] });
});

test('the last one there is has one deadline, however slow it has become', () => {
  const state = round(member('a'));
  expect(strategy.decide(state, 149)).toMatchObject({ release: [], wakeAtMs: 150 });
  expect(strategy.decide(state, 150)).toMatchObject({ commit: [], release: [{ node: 'a', late: false }] });
});

test('before anything was measured there is no deadline', () => {
  const state = round(member('a', { expectedMs: undefined }), member('b', { expectedMs: undefined }));
  expect(strategy.decide(state, 1e9)).toMatchObject({ commit: [], release: [], wakeAtMs: undefined });
});

test('one extreme estimate stretches the deadline to four times the others, not further', () => {
  const state = round(member('a', { deliveredAtMs: 50 }), member('b', { expectedMs: 1e6 }));
  expect(strategy.decide(state, 50).wakeAtMs).toBe(3 * 4 * 50);
});

test('with backup workers a round commits at its quorum and the grace, and the late ones are told so', () => {
  const backed = bsp({ deadlineFactor: 3, minDeadlineMs: 1000, quorum: 2 / 3, graceMs: 20 });
  const state = round(member('a', { deliveredAtMs: 40 }), member('b', { deliveredAtMs: 50 }), member('c'));
  expect(backed.decide(state, 69)).toMatchObject({ commit: [], wakeAtMs: 70 });
  const decision = backed.decide(state, 70);
  expect(decision.commit.map(({ node }) => node)).toEqual(['a', 'b']);
  expect(decision.release).toEqual([{ node: 'c', reason: 'came after the quorum of round 7 and its grace', late: true }]);
  expect(decision.reason).toBe('2 of 3 delivered, and 20 ms of grace are over');
});

test('local steps are called home when the time of the round is over, once, and only for somebody who waits', () => {
  const local = diloco({ deadlineFactor: 4, minDeadlineMs: 10 }, dynamicLocalSteps(8));
  const waiting = (recalled: boolean) => round(member('a', { deliveredAtMs: 60 }), member('b', { recalled }));
  expect(local.decide(waiting(false), 74)).toMatchObject({ recall: [], wakeAtMs: 75 });
  expect(local.decide(waiting(false), 75)).toMatchObject({ recall: ['b'], commit: [], release: [] });
  expect(local.decide(waiting(true), 75)).toMatchObject({ recall: [], wakeAtMs: 240 });
  expect(local.decide(round(member('a'), member('b')), 75).recall).toEqual([]);
});

const anyMember = fc.record({
  samples: fc.integer({ min: 1, max: 512 }),
  startedAtMs: fc.constant(0),
  expectedMs: fc.option(fc.integer({ min: 1, max: 10_000 }), { nil: undefined }),
  deliverAtMs: fc.option(fc.integer({ min: 0, max: 100_000 }), { nil: undefined }),
});

/** Asks `decide` at each delivery and at each time it wants to be woken, as the runtime does. */
function play(strategy: SyncStrategy, members: readonly { expectedMs: number | undefined; deliverAtMs: number | undefined; samples: number }[]) {
  const arrivals = [...new Set(members.flatMap(({ deliverAtMs }) => (deliverAtMs === undefined ? [] : [deliverAtMs])))].sort(
    (a, b) => a - b,
  );
  let nowMs = 0;
  for (;;) {
    const state = round(
      ...members.map((m, i) =>
        member(`n${i}`, { ...m, deliveredAtMs: m.deliverAtMs !== undefined && m.deliverAtMs <= nowMs ? m.deliverAtMs : undefined }),
      ),
    );
    const decision = strategy.decide(state, nowMs);
    if (decision.commit.length > 0 || decision.release.length > 0) return { decision, nowMs };
    const nextMs = Math.min(arrivals.find((at) => at > nowMs) ?? Infinity, decision.wakeAtMs ?? Infinity);
    if (nextMs === Infinity) return undefined;
    expect(nextMs).toBeGreaterThan(nowMs);
    nowMs = nextMs;
  }
}

test('under any interleaving a round with a delivery commits by the deadline, and every member is either committed or released', () => {
  fc.assert(
    fc.property(fc.array(anyMember, { minLength: 1, maxLength: 8 }), (members) => {
      const outcome = play(strategy, members);
      const arrivals = members.flatMap(({ deliverAtMs }) => (deliverAtMs === undefined ? [] : [deliverAtMs]));
      if (outcome === undefined) {
        expect(arrivals).toEqual([]);
        return;
      }
      const { decision, nowMs } = outcome;
      const named = [...decision.commit, ...decision.release].map(({ node }) => node);
      expect(named.sort()).toEqual(members.map((_, i) => `n${i}`).sort());
      const slowest = Math.max(0, ...members.map(({ expectedMs }) => expectedMs ?? 0));
      if (decision.commit.length > 0) expect(nowMs).toBeLessThanOrEqual(Math.max(100, 3 * slowest, 3 * Math.min(...arrivals)));
    }),
  );
});

test('a quorum is never waited for longer than its grace, nor is anybody committed before it is there', () => {
  fc.assert(
    fc.property(
      fc.array(anyMember, { minLength: 1, maxLength: 8 }),
      fc.double({ min: 0.01, max: 1, noNaN: true }),
      fc.integer({ min: 0, max: 5000 }),
      (members, quorum, graceMs) => {
        const outcome = play(bsp({ deadlineFactor: 3, minDeadlineMs: 100, quorum, graceMs }), members);
        const arrivals = members.flatMap(({ deliverAtMs }) => (deliverAtMs === undefined ? [] : [deliverAtMs])).sort((a, b) => a - b);
        const need = Math.max(1, Math.ceil(quorum * members.length - 1e-9));
        if (arrivals.length < need) return;
        expect(outcome!.nowMs).toBeLessThanOrEqual(arrivals[need - 1]! + graceMs);
        const { commit, release } = outcome!.decision;
        if (release.some(({ late }) => late)) expect(commit.length).toBeGreaterThanOrEqual(need);
      },
    ),
  );
});

test('whoever asks only after as many deliveries as are needed, or at the time, misses nothing', () => {
  // One without samples only brings home what it stepped before.
  const delivery = fc.record({ samples: fc.constantFrom(8, 8, 0), expectedMs: fc.integer({ min: 1, max: 400 }), tookMs: fc.integer({ min: 1, max: 4000 }) });
  const leniency = fc.record({ quorum: fc.double({ min: 0.1, max: 1, noNaN: true }), graceMs: fc.nat(300) });
  fc.assert(
    fc.property(fc.array(delivery, { minLength: 1, maxLength: 8 }), leniency, fc.boolean(), (deliveries, some, local) => {
      const rounds = { deadlineFactor: 3, minDeadlineMs: 100, ...some };
      const subject = local ? diloco(rounds, dynamicLocalSteps(8)) : bsp(rounds);
      const stateAt = (nowMs: number) =>
        round(...deliveries.map(({ samples, expectedMs, tookMs }, i) => member(`n${i}`, { samples, expectedMs, deliveredAtMs: tookMs <= nowMs ? tookMs : undefined })));
      const times = [...new Set(deliveries.map(({ tookMs }) => tookMs))].sort((a, b) => a - b);
      for (const [asked, askedAtMs] of [0, ...times].entries()) {
        const { commit, release, recall, needs = 1, wakeAtMs = Infinity } = subject.decide(stateAt(askedAtMs), askedAtMs);
        if (commit.length + release.length + recall.length > 0) return;
        const before = deliveries.filter(({ tookMs }) => tookMs <= askedAtMs).length;
        for (const nowMs of times.slice(asked)) {
          const more = deliveries.filter(({ tookMs }) => tookMs <= nowMs).length - before;
          if (more >= needs || nowMs >= wakeAtMs) break;
          expect(subject.decide(stateAt(nowMs), nowMs)).toMatchObject({ commit: [], release: [], recall: [], wakeAtMs });
        }
      }
    }),
  );
});
