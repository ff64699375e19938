import type { JobStage } from '@longtail/core';
import { expect, test } from 'vitest';
import type { Fault } from './faults.js';
import type { SimulatedWorker } from './scenario.js';
import { simulate } from './simulate.js';
import { expectSameTraining, fleet, pipelined, workersOf } from './testing/pipelined.js';
import { eventsOf } from './testing/scenarios.js';

const replicated: readonly JobStage[] = [
  { workers: ['a'], blocks: 2 },
  { workers: ['b', 'c', 'd'], blocks: 3 },
  { workers: ['e'], blocks: 1 },
];

test('replicas of a stage share its microbatches by their speed, and each brings its part of the gradient home', async () => {
  const speeds: Readonly<Record<string, number>> = { b: 600, c: 300, d: 300 };
  const workers = [...'abcde'].map((name): SimulatedWorker => ({ name, samplesPerSecond: speeds[name] ?? 1000, overheadMs: 0 }));
  const run = pipelined([replicated], { cluster: { microbatch: 1 } }, { fleet: workers });
  const outcome = await simulate(run);
  expectSameTraining(run, outcome);
  const first = eventsOf(outcome.events, 'contribution').filter(({ round }) => round === 1);
  expect(first.map(({ name, stage, samples }) => [name, stage?.stage, samples])).toEqual([
    ['a', 0, 60],
    ['b', 1, 30],
    ['c', 1, 15],
    ['d', 1, 15],
    ['e', 2, 60],
  ]);
  expect(eventsOf(outcome.events, 'layout')[0]!.groups[0]!.stages.map(({ name, start, end }) => [name, start, end])).toEqual([
    ['a', 0, 2],
    ['b', 2, 5],
    ['c', 2, 5],
    ['d', 2, 5],
    ['e', 5, 6],
  ]);
});

test('three replicas make a stage that is three times too slow as fast as its neighbours', async () => {
  // A device's pace is for the whole model: a sixth of it, half of it and a sixth again.
  const roundMs = async (layout: readonly JobStage[]) => {
    const workers = workersOf([layout]).map((name): SimulatedWorker => ({ name, samplesPerSecond: 10, overheadMs: 0 }));
    const even = layout.map((stage, i) => ({ ...stage, blocks: [1, 3, 2][i]! }));
    const changes = { cluster: { microbatch: 1 }, train: { batch: 48, epochs: 1 }, sync: { minDeadlineMs: 60_000 }, validation: { everyEpochs: 10 } };
    const outcome = await simulate(pipelined([even], changes, { fleet: workers }));
    return eventsOf(outcome.events, 'commit')[0]!.roundMs;
  };
  const [one, three] = [await roundMs([{ workers: ['a'] }, { workers: ['b'] }, { workers: ['c'] }]), await roundMs([{ workers: ['a'] }, { workers: ['b', 'd', 'e'] }, { workers: ['c', 'f'] }])];
  // 48 microbatches at 50 ms against 48 at 100 / 6 ms.
  expect(one).toBeGreaterThan(48 * 50);
  expect(three).toBeGreaterThan((48 * 100) / 6);
  expect(three).toBeLessThan(1.15 * ((48 * 100) / 6) + 100);
});

test('a replica without a microbatch brings nothing home, and the others go on', async () => {
  const run = pipelined([replicated], { cluster: { microbatch: 60 } }, { fleet: fleet('abcde') });
  const outcome = await simulate(run);
  expectSameTraining(run, outcome);
  const idle = eventsOf(outcome.events, 'contribution').filter(({ name }) => name === 'c' || name === 'd');
  expect(new Set(idle.map(({ samples }) => samples))).toEqual(new Set([0]));
});

test.each<Extract<Fault, { worker: string; atMs: number }>>([
  { kind: 'kill', worker: 'c', atMs: 340 },
  { kind: 'leave', worker: 'b', atMs: 340 },
  { kind: 'fail', worker: 'd', atMs: 340 },
])('a replica that is lost in mid-run ($kind $worker): the group is formed again, no sample is lost', async (fault) => {
  const run = pipelined([replicated], { train: { epochs: 4 } }, { fleet: fleet('abcdef'), faults: [fault] });
  const outcome = await simulate(run);
  expect(outcome.fired).toContain(fault);
  expectSameTraining(run, outcome);
  const names = eventsOf(outcome.events, 'layout').at(-1)!.groups[0]!.stages.map(({ name }) => name);
  expect(names).toEqual([...'abcde'].map((name) => (name === fault.worker && fault.kind !== 'fail' ? 'f' : name)));
  expect(eventsOf(outcome.events, 'contribution').filter(({ accepted }) => !accepted).map(({ name }) => name)).toEqual([...'abcde']);
  expect(eventsOf(outcome.events, 'lease_returned')).toHaveLength(1);
});
