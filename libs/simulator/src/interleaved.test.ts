import type { JobStage } from '@longtail/core';
import { expect, test } from 'vitest';
import type { Fault } from './faults.js';
import { simulate } from './simulate.js';
import { expectSameTraining, fleet, pipelined } from './testing/pipelined.js';
import { eventsOf } from './testing/scenarios.js';

const turns = [2, 1, 2, 1].map((blocks, i): JobStage => ({ workers: ['ab'[i % 2]!], blocks }));
const sixTurns = [1, 1, 1, 1, 1, 1].map((blocks, i): JobStage => ({ workers: ['abc'[i % 3]!], blocks }));

test.each([
  ['of two workers', turns, 'ab'],
  ['of three workers', sixTurns, 'abc'],
])('an interleaved pipeline %s, two stages on each, trains what one machine trains', async (_what, layout, names) => {
  const run = pipelined([layout], { cluster: { schedule: 'interleaved', microbatch: 7 } }, { fleet: fleet(names) });
  const outcome = await simulate(run);
  expectSameTraining(run, outcome);
  const first = eventsOf(outcome.events, 'contribution').filter(({ round }) => round === 1);
  const stages = layout.length;
  expect(first.map(({ name, samples, stage }) => [name, samples, stage])).toEqual(
    [...names].map((name, i) => [name, 60, { group: 'p1', stage: i, stages, held: stages / names.length }]),
  );
});

test('interleaving shortens the fill of a pipeline by the number of stages that a worker holds', async () => {
  const fill = 3; // microbatches
  const roundMs = async (schedule: '1f1b' | 'interleaved', layout: readonly JobStage[]) => {
    const changes = { cluster: { schedule, microbatch: 1 }, train: { batch: fill, epochs: 1 }, validation: { everyEpochs: 10 } };
    const workers = fleet('abc').map((worker) => ({ ...worker, samplesPerSecond: 10, overheadMs: 0 }));
    const outcome = await simulate(pipelined([layout], { ...changes, sync: { minDeadlineMs: 60_000 } }, { fleet: workers }));
    return eventsOf(outcome.events, 'commit')[0]!.roundMs;
  };
  const plain = await roundMs('1f1b', [2, 2, 2].map((blocks, i) => ({ workers: ['abc'[i]!], blocks })));
  const interleaved = await roundMs('interleaved', sixTurns);
  // A worker's whole is 33 ms a microbatch: (m + p − 1) of them against m + (p − 1) / 2.
  expect(plain).toBeGreaterThan(((fill + 2) * 100) / 3);
  expect(interleaved).toBeGreaterThan(((fill + 1) * 100) / 3);
  expect(plain - interleaved).toBeCloseTo(100 / 3, -1);
});

test.each<Extract<Fault, { worker: string; atMs: number }>>([
  { kind: 'kill', worker: 'a', atMs: 340 },
  { kind: 'leave', worker: 'b', atMs: 340 },
  { kind: 'fail', worker: 'b', atMs: 340 },
])('a worker of several stages that is lost ($kind $worker): a spare takes all of them, no sample is lost', async (fault) => {
  const changes = { train: { epochs: 4 }, cluster: { schedule: 'interleaved', microbatch: 7 } } as const;
  const run = pipelined([turns], changes, { fleet: fleet('abc'), faults: [fault] });
  const outcome = await simulate(run);
  expect(outcome.fired).toContain(fault);
  expectSameTraining(run, outcome);
  const names = eventsOf(outcome.events, 'layout').at(-1)!.groups[0]!.stages.map(({ name }) => name);
  expect(names).toEqual([...'abab'].map((name) => (name === fault.worker && fault.kind !== 'fail' ? 'c' : name)));
  expect(eventsOf(outcome.events, 'contribution').filter(({ accepted }) => !accepted).map(({ name }) => name)).toEqual([...'ab']);
  expect(eventsOf(outcome.events, 'lease_returned')).toHaveLength(1);
});

test.each([
  ['1f1b', turns, /the schedule 1f1b has 1 stages a worker, a \+ b hold 2/],
  ['interleaved', turns.slice(0, 3), /stage s must be on worker s mod p alone: that of a \+ b is another layout/],
  ['interleaved', [turns[1]!, turns[1]!, turns[0]!, turns[0]!], /stage s must be on worker s mod p alone/],
] as const)('%s on workers in another order than its own: the run fails and says so', async (schedule, layout, message) => {
  const outcome = await simulate(pipelined([layout], { cluster: { schedule } }, { fleet: fleet('ab') }));
  expect(outcome.verdict).toMatchObject({ status: 'failed', error: { code: 'usage', message: expect.stringMatching(message) as string } });
});
