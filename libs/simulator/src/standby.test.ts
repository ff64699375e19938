import { expect, test } from 'vitest';
import type { Fault } from './faults.js';
import { simulate } from './simulate.js';
import { eventsOf, job, scenario } from './testing/scenarios.js';

const group = job({ cluster: { minWorkers: 4 }, train: { epochs: 4 }, checkpoint: { everyMs: 300 } });
const killed = (atMs: number): Fault => ({ kind: 'kill-server', atMs, forMs: 500 });

test('a standby takes over at the version that was committed last, and nothing is undone', async () => {
  const outcome = await simulate(scenario({ job: group, standby: {}, faults: [killed(900)] }));
  expect(outcome.fired.size).toBe(1);
  expect(outcome.verdict).toMatchObject({ status: 'succeeded', samples: { applied: 2400, lost: 0 } });
  const commits = eventsOf(outcome.events, 'commit');
  expect(commits.map(({ version }) => version)).toEqual(commits.map((_, i) => i + 1));
  expect(eventsOf(outcome.events, 'taken_over')).toMatchObject([{ from: 'server', address: 'standby:1', epoch: 2, roundsLost: 0 }]);
  expect(eventsOf(outcome.events, 'resumed')).toMatchObject([{ undone: { commits: 0, samples: 0 } }]);
  expect(outcome.lostCommits).toEqual([]);
});

test('a standby that does not confirm in time is gone on without, visibly, and comes into step again', async () => {
  const stalled: Fault = { kind: 'standby', how: 'stall', atMs: 500, forMs: 500 };
  const [calm, outcome] = [await simulate(scenario({ job: group })), await simulate(scenario({ job: group, standby: {}, faults: [stalled] }))];
  expect(outcome.fired).toContain(stalled);
  const states = eventsOf(outcome.events, 'standby').map(({ state }) => state);
  expect(states).toEqual(['in step', 'behind', 'in step']);
  // One commit waits for it, for as long as a round may take, and no other does.
  expect(outcome.virtualMs).toBeLessThan(calm.virtualMs + 2 * group.sync.minDeadlineMs);
});

test('a standby whose link breaks follows again from where it was', async () => {
  const cut: Fault = { kind: 'standby', how: 'cut', atMs: 600, forMs: 0 };
  const outcome = await simulate(scenario({ job: group, standby: {}, faults: [cut, killed(1200)] }));
  expect(outcome.fired.size).toBe(2);
  expect(eventsOf(outcome.events, 'standby').map(({ state }) => state)).toEqual(['in step', 'gone', 'in step']);
  expect(eventsOf(outcome.events, 'taken_over')).toMatchObject([{ roundsLost: 0 }]);
  expect(outcome.lostCommits).toEqual([]);
});

test('without a version, and behind, it goes on from what it has and says what is undone', async () => {
  // Too slow for what a round makes.
  const link = { upBitsPerSecond: 1e5, downBitsPerSecond: 2e4, rttMs: 5 };
  const outcome = await simulate(scenario({ job: group, standby: { link }, faults: [killed(1000)] }));
  const [taken] = eventsOf(outcome.events, 'taken_over');
  const [resumed] = eventsOf(outcome.events, 'resumed');
  expect(taken!.roundsLost).toBeGreaterThan(0);
  expect(resumed!.undone.commits).toBe(taken!.roundsLost);
  expect(outcome.verdict).toMatchObject({ status: 'succeeded', samples: { applied: 2400, lost: 0 } });
});

test('a standby whose copy is not what the server wrote down says so, is sent it anew, and takes over with the right bits', async () => {
  const corrupt: Fault = { kind: 'standby', how: 'corrupt', atMs: 500, forMs: 0 };
  const outcome = await simulate(scenario({ job: group, standby: {}, faults: [corrupt, killed(1200)] }));
  expect(outcome.fired.size).toBe(2);
  const states = eventsOf(outcome.events, 'standby');
  expect(states.map(({ state }) => state)).toEqual(['in step', 'behind', 'in step']);
  const [written] = eventsOf(outcome.events, 'checkpoint').filter(({ version }) => states[1]!.reason.includes(`version ${version} `));
  expect(states[1]!.reason).toMatch(/^it holds other parameters/);
  expect(written).toBeDefined();
  expect(eventsOf(outcome.events, 'taken_over')).toMatchObject([{ roundsLost: 0 }]);
  expect(outcome.verdict).toMatchObject({ status: 'succeeded', samples: { applied: 2400, lost: 0 } });
});

test('where the server took all nodes along, its standby takes over when it is started again', async () => {
  const nodes: readonly Fault[] = ['a', 'b', 'c', 'd'].map((worker) => ({ kind: 'kill', worker, atMs: 900 }));
  const outcome = await simulate(scenario({ job: group, standby: {}, faults: [killed(900), ...nodes] }));
  expect(outcome.fired.size).toBe(5);
  const [taken] = outcome.events.filter(({ body }) => body.event === 'taken_over');
  expect(taken).toMatchObject({ body: { roundsLost: 0 } });
  expect(taken!.timeMs).toBeGreaterThan(60_000);
  expect(outcome.lostCommits).toEqual([]);
});

test('a standby that alone lost its link does not take over', async () => {
  const faults: readonly Fault[] = [500, 700, 900].map((atMs) => ({ kind: 'standby', how: 'cut', atMs, forMs: 0 }));
  const outcome = await simulate(scenario({ job: group, standby: {}, faults }));
  expect(outcome.fired.size).toBe(3);
  expect(eventsOf(outcome.events, 'taken_over')).toEqual([]);
});

test('somebody has the standby take over from a server that is there: it loses no commit', async () => {
  const order: Fault = { kind: 'standby', how: 'order', atMs: 900, forMs: 0 };
  const outcome = await simulate(scenario({ job: group, standby: {}, faults: [order] }));
  expect(outcome.fired).toContain(order);
  expect(eventsOf(outcome.events, 'taken_over')).toMatchObject([{ roundsLost: 0, reason: expect.stringContaining('somebody') as string }]);
  expect([outcome.verdict.status, outcome.lostCommits]).toEqual(['succeeded', []]);
});

test('and from one that is gone, though no node can say so', async () => {
  const partitions: readonly Fault[] = ['a', 'b', 'c', 'd'].map((worker) => ({ kind: 'partition', worker, atMs: 890, forMs: 20_000 }));
  const order: Fault = { kind: 'standby', how: 'order', atMs: 5000, forMs: 0 };
  const outcome = await simulate(scenario({ job: group, standby: {}, faults: [...partitions, killed(900), order] }));
  expect(outcome.fired).toContain(order);
  const taken = outcome.events.find(({ body }) => body.event === 'taken_over')!;
  expect(taken.timeMs).toBeCloseTo(5000, -1);
  expect([outcome.verdict.status, outcome.lostCommits]).toEqual(['succeeded', []]);
});
