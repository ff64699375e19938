import type { RunEvent } from '@longtail/core';
import { expect, test } from 'vitest';
import type { Fault } from './faults.js';
import { simulate } from './simulate.js';
import { fleet, pipelined, three } from './testing/pipelined.js';
import { eventsOf, job, scenario, unequalFleet } from './testing/scenarios.js';

const MINUTE_MS = 60_000;
const HOUR_MS = 60 * MINUTE_MS;
/** Some 80 s of work. */
const long = scenario({
  job: job({ train: { epochs: 6 }, validation: { everyEpochs: 100 }, cluster: { minWorkers: 4 } }),
  fleet: unequalFleet.map((worker) => ({ ...worker, samplesPerSecond: worker.samplesPerSecond / 50 })),
});
const NOTHING_LOST = { status: 'succeeded', samples: { applied: 3600, lost: 0 } };

test('a worker that is stopped for a minute holds nobody up, and comes back under its id', async () => {
  const fault: Fault = { kind: 'freeze', worker: 'a', atMs: 5000, forMs: MINUTE_MS };
  const { verdict, events, fired } = await simulate({ ...long, faults: [fault] });
  expect(fired).toContain(fault);
  expect(verdict, verdict.reason).toMatchObject(NOTHING_LOST);
  const [left] = events.filter(({ body }) => body.event === 'node_left');
  expect(left!.body).toMatchObject({ name: 'a', reason: 'silent for 3 heartbeats (6000 ms)' });
  const commits = events.filter(({ body }) => body.event === 'commit').map(({ timeMs }) => timeMs);
  const gaps = commits.slice(1).map((ms, i) => ms - commits[i]!);
  expect(Math.max(...gaps)).toBeLessThan(10_000);
  const joined = eventsOf(events, 'node_joined').filter(({ name }) => name === 'a');
  expect(new Set(joined.map(({ node }) => node)).size).toBe(1);
  const again = events.filter(({ timeMs, body }) => timeMs > fault.atMs + MINUTE_MS && body.event === 'contribution' && body.name === 'a' && body.accepted);
  expect(again.length).toBeGreaterThan(0);
});

test('a server that is stopped for a minute goes on with everybody', async () => {
  const fault: Fault = { kind: 'freeze-server', atMs: 5000, forMs: MINUTE_MS };
  const { verdict, events, fired, workerEvents } = await simulate({ ...long, faults: [fault] });
  expect(fired).toContain(fault);
  expect(verdict, verdict.reason).toMatchObject(NOTHING_LOST);
  for (const own of workerEvents.values()) {
    expect(own.some((event) => event.event === 'disconnected' && event.reason === 'the server was silent for 3 heartbeats (6000 ms)')).toBe(true);
  }
  const last = eventsOf(events, 'commit').at(-1)!.round;
  expect(new Set(eventsOf(events, 'contribution').filter(({ round }) => round > last - 3).map(({ name }) => name))).toEqual(new Set('abcd'));
});

test.each<Fault>([
  { kind: 'server-clock-jump', atMs: 5000, byMs: 3 * HOUR_MS },
  { kind: 'clock-jump', worker: 'a', atMs: 5000, byMs: 3 * HOUR_MS },
])('a clock that jumps by hours costs a reconnection and no sample: $kind', async (fault) => {
  const { verdict, events, fired, virtualMs } = await simulate({ ...long, faults: [fault] });
  expect(fired).toContain(fault);
  expect(verdict, verdict.reason).toMatchObject(NOTHING_LOST);
  expect(virtualMs).toBeLessThan(2 * MINUTE_MS);
  const last = eventsOf(events, 'commit').at(-1)!.round;
  expect(new Set(eventsOf(events, 'contribution').filter(({ round }) => round > last - 3).map(({ name }) => name))).toEqual(new Set('abcd'));
});

test.each([
  ['alone', scenario({ job: job({ cluster: { minWorkers: 2 } }), fleet: fleet('bd') })],
  ['in a pipeline', pipelined([three, [{ workers: ['d'] }]], {}, { fleet: fleet('abcd') })],
])('a device that stands still in a validation before any was measured is not waited for without end (%s)', async (_, calm) => {
  const { events } = await simulate(calm);
  const { timeMs, body } = events.find(({ body: { event } }) => event === 'validation')!;
  const { ms, version, samples } = body as Extract<RunEvent, { event: 'validation' }>;
  const atMs = timeMs - ms - 0.01;
  const faults: readonly Fault[] = [{ kind: 'slow', worker: 'b', atMs, forMs: HOUR_MS, factor: 1e12 }, { kind: 'fail', worker: 'd', atMs }];
  const struck = await simulate({ ...calm, faults });
  expect(struck.fired.size).toBe(2);
  expect(struck.verdict, struck.verdict.reason).toMatchObject({ status: 'succeeded', samples: { lost: 0 } });
  expect(eventsOf(struck.events, 'validation')[0]).toMatchObject({ version, samples });
  expect(struck.virtualMs).toBeLessThan(5 * MINUTE_MS);
});
