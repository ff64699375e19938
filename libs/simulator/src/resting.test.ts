import { expect, test } from 'vitest';
import type { Fault } from './faults.js';
import { simulate } from './simulate.js';
import { expectSameTraining, fleet, pipelined, three } from './testing/pipelined.js';
import { eventsOf, job, model, scenario, type JobChanges } from './testing/scenarios.js';

const workers = (names: string, samplesPerSecond: number) => [...names].map((name) => ({ name, samplesPerSecond }));
const recipe = (epochs: number, changes: JobChanges = {}) => job({ ...changes, train: { epochs, ...changes.train } });
const complete = (epochs: number) => ({ status: 'succeeded', samples: { applied: epochs * model.trainSamples, lost: 0 } });

test('a node whose owner lets it rest delivers what it holds, stays connected, and works again at once', async () => {
  const pause: Fault = { kind: 'pause', worker: 'b', atMs: 1000, forMs: 3000 };
  const { events, verdict, fired } = await simulate(scenario({ job: recipe(5), fleet: workers('abcd', 100), faults: [pause] }));
  expect(fired).toContain(pause);
  expect(verdict).toMatchObject(complete(5));
  expect(eventsOf(events, 'node_paused')).toMatchObject([{ name: 'b', reason: 'its owner wants the machine' }]);
  expect(eventsOf(events, 'node_resumed')).toMatchObject([{ name: 'b' }]);
  expect(eventsOf(events, 'node_left')).toEqual([]);
  expect(eventsOf(events, 'lease_returned')).toEqual([]);
  const [from, to] = ['node_paused', 'node_resumed'].map((name) => events.find(({ body }) => body.event === name)!.timeMs);
  const taken = events.flatMap(({ timeMs, body }) => (body.event === 'contribution' && body.accepted ? [{ timeMs, name: body.name }] : []));
  const meanwhile = taken.filter(({ timeMs }) => timeMs > from! + 500 && timeMs < to!);
  expect(new Set(meanwhile.map(({ name }) => name))).toEqual(new Set(['a', 'c', 'd']));
  expect(taken.filter(({ timeMs, name }) => timeMs > to! && name === 'b').length).toBeGreaterThan(3);
});

test.each(['pause', 'finish', 'drain'] as const)('a lone worker that is to rest (%s) brings home the steps it took; the run waits for it, or another', async (kind) => {
  const fault = { kind, worker: 'a', atMs: 3000, forMs: 60_000 } as Fault;
  const late = { name: 'b', samplesPerSecond: 100, joinAtMs: 8000 };
  const fleet = kind === 'pause' ? workers('a', 100) : [...workers('a', 100), late];
  const { events, verdict } = await simulate(scenario({ job: recipe(2, { cluster: { waitMs: 8000 } }), fleet, faults: [fault] }));
  expect(verdict).toMatchObject(complete(2));
  expect(eventsOf(events, 'contribution').filter(({ accepted }) => accepted).map(({ reason }) => reason)).toContain('called home early');
  const waits = eventsOf(events, 'waiting').map(({ reason }) => reason);
  if (kind === 'pause') expect(waits.join()).toContain('is paused: its owner wants the machine');
  else expect(eventsOf(events, 'node_left')).toMatchObject([{ name: 'a', reason: kind === 'drain' ? 'a client drains it' : 'its owner stopped it' }]);
});

test('a lone worker that is called home before the first step of a grant did nothing wrong', async () => {
  const pause: Fault = { kind: 'pause', worker: 'a', atMs: 600, forMs: 1000 };
  const { events, verdict, fired } = await simulate(scenario({ job: recipe(2), fleet: workers('a', 400), faults: [pause] }));
  expect(fired).toContain(pause);
  expect(verdict).toMatchObject(complete(2));
  const reasons = eventsOf(events, 'contribution').map(({ reason }) => reason);
  expect(reasons.filter((reason) => reason !== '')).toEqual(['called home early', 'called home before its first step']);
});

test('what would take longer than a few seconds goes back at once', async () => {
  const pause: Fault = { kind: 'pause', worker: 'b', atMs: 18_000, forMs: 10_000 };
  const slow = recipe(6, { train: { batch: 600 }, sync: { minDeadlineMs: 60_000 } });
  const { events, verdict, fired } = await simulate(scenario({ job: slow, fleet: workers('ab', 40), faults: [pause] }));
  expect(fired).toContain(pause);
  expect(verdict).toMatchObject(complete(6));
  const paused = events.find(({ body }) => body.event === 'node_paused')!.timeMs;
  const returned = events.find(({ timeMs, body }) => timeMs >= paused && body.event === 'lease_returned')!;
  expect(returned.timeMs - paused).toBeLessThan(100);
  expect(returned.body).toMatchObject({ reason: 'its owner wants the machine' });
});

test.each(['drain', 'finish'] as const)('a stage whose node is to leave (%s) finishes its round, and a spare takes its place', async (kind) => {
  const fault: Fault = { kind, worker: 'b', atMs: 300 };
  const run = pipelined([three], { train: { epochs: 2 } }, { fleet: fleet('abcd'), faults: [fault] });
  const outcome = await simulate(run);
  expect(outcome.fired).toContain(fault);
  expectSameTraining(run, outcome);
  expect(eventsOf(outcome.events, 'layout').at(-1)!.groups[0]!.stages.map(({ name }) => name)).toEqual(['a', 'd', 'c']);
  expect(eventsOf(outcome.events, 'contribution').filter(({ accepted }) => !accepted)).toEqual([]);
  expect(outcome.workerEnds.get('b')).toBe('left');
});

test('whoever steps in a stream brings home all of it before it leaves: nothing is lost', async () => {
  const fault: Fault = { kind: 'drain', worker: 'b', atMs: 3000 };
  const streamed = recipe(5, { train: { batch: 20 }, sync: { strategy: 'streaming-diloco', localSteps: 4, fragments: 3, mixing: 0 } });
  const { events, verdict } = await simulate(scenario({ job: streamed, fleet: workers('abcd', 100), faults: [fault] }));
  expect(verdict).toMatchObject(complete(5));
  expect(eventsOf(events, 'node_left')).toMatchObject([{ name: 'b', reason: 'a client drains it' }]);
  expect(eventsOf(events, 'samples_lost')).toEqual([]);
});

test('a machine that slept notices it, drops what it held, and works again under its id', async () => {
  const sleep: Fault = { kind: 'freeze', worker: 'b', atMs: 2000, forMs: 20_000 };
  const { events, verdict, workerEvents } = await simulate(scenario({ job: recipe(8), fleet: workers('abcd', 40), faults: [sleep] }));
  expect(verdict).toMatchObject(complete(8));
  const [left] = eventsOf(events, 'node_left');
  expect(left).toMatchObject({ name: 'b', reason: 'silent for 3 heartbeats (6000 ms)' });
  const seen = workerEvents.get('b')!;
  expect(seen.find(({ event }) => event === 'disconnected')).toMatchObject({ reason: expect.stringMatching(/^this machine stood still for \d+ s$/) });
  expect(new Set(seen.flatMap((event) => (event.event === 'joined' ? [event.node] : [])))).toEqual(new Set([left!.node]));
  const after = events.filter(({ timeMs, body }) => timeMs > 22_000 && body.event === 'contribution' && body.name === 'b' && body.accepted);
  expect(after.length).toBeGreaterThan(3);
});

test('a node that is paused stays so through a new connection and a new server', async () => {
  const faults: readonly Fault[] = [
    { kind: 'pause', worker: 'b', atMs: 1000, forMs: 12_000 },
    { kind: 'cut', worker: 'b', atMs: 3000 },
    { kind: 'kill-server', atMs: 5000, forMs: 100 },
  ];
  const { events, verdict, fired } = await simulate(scenario({ job: recipe(9), fleet: workers('abcd', 100), faults }));
  expect(fired).toEqual(new Set(faults));
  expect(verdict).toMatchObject(complete(9));
  expect(eventsOf(events, 'node_paused')).toHaveLength(3);
  const ready = events.filter(({ body }) => body.event === 'worker_ready' && body.name === 'b').map(({ timeMs }) => timeMs);
  expect(ready.filter((ms) => ms > 1000 && ms < 13_000)).toEqual([]);
  expect(ready.at(-1)).toBeGreaterThan(13_000);
});
