import { createRng, type Job } from '@longtail/core';
import { expect, test } from 'vitest';
import { chain } from './chain.js';
import type { Fault } from './faults.js';
import { simulate } from './simulate.js';
import { eventsOf, job, scenario } from './testing/scenarios.js';

const steady = job({ cluster: { minWorkers: 4 }, train: { epochs: 4 }, sync: { deadlineFactor: 3, minDeadlineMs: 100 } });

test('a worker that stalls in mid-round holds up nobody: its lease goes back, a receipt says why, its share shrinks', async () => {
  const slow: Fault = { kind: 'slow', worker: 'b', atMs: 300, forMs: 4000, factor: 1e6 };
  const outcome = await simulate(scenario({ job: steady, faults: [slow] }));
  expect(outcome.fired).toContain(slow);
  expect(outcome.verdict).toMatchObject({ status: 'succeeded', samples: { applied: 2400 } });
  const commits = eventsOf(outcome.events, 'commit');
  // Rounds take 30 ms here: three times that is below the minimum of 100 ms. A validation of 20 ms may lie between two.
  expect(Math.max(...commits.map(({ roundMs }) => roundMs))).toBeLessThan(150);
  const b = eventsOf(outcome.events, 'contribution').filter(({ name }) => name === 'b');
  const missed = b.filter(({ accepted }) => !accepted);
  expect(missed[0]!.reason).toMatch(/^missed the deadline of 100 ms of round \d+$/);
  const receipts = outcome.workerEvents.get('b')!.filter((event) => event.event === 'receipt' && !event.accepted);
  expect(receipts).toHaveLength(missed.length);
  expect(missed[1]!.samples).toBeLessThan(missed[0]!.samples);
});

test.each([
  ['all workers are solo', undefined, 'abcd'],
  ['they are a pipeline', [[{ workers: ['a'], blocks: 3 }, { workers: ['b'], blocks: 3 }]], 'ab'],
] as const)('devices that freeze before anybody is done in a first round are waited for a while, not for ever: %s', async (_name, layout, workers) => {
  const model = chain({ features: 6, width: 5, blocks: 6, trainSamples: 240, validationSamples: 40, seed: 11 });
  const fleet = [...workers].map((name) => ({ name, samplesPerSecond: 500, prepareMs: 100 }));
  // What they measured while they prepared was true then.
  const faults = [...workers].map((worker): Fault => ({ kind: 'slow', worker, atMs: 110, forMs: 65_000, factor: 1e9 }));
  const frozen = job({ cluster: { minWorkers: fleet.length, layout: layout as Job['cluster']['layout'], microbatch: 7 } });
  const outcome = await simulate(scenario({ job: frozen, model, fleet, faults }));
  expect(outcome.fired).toEqual(new Set(faults));
  const missed = eventsOf(outcome.events, 'contribution').filter(({ accepted }) => !accepted);
  expect(missed.map(({ round, name }) => `${round} ${name}`).sort()).toEqual([...workers].map((name) => `1 ${name}`));
  for (const { reason } of missed) expect(reason).toMatch(/^not done 1 min 0 s after it had all it needs: it measured \d+ ms for that/);
  expect(outcome.verdict, outcome.verdict.reason).toMatchObject({ status: 'succeeded', samples: { lost: 0 } });
});

test('a worker that missed its deadline has its next task at once, though nobody else is done', async () => {
  const fleet = [500, 500, 500].map((samplesPerSecond, i) => ({ name: 'abc'[i]!, samplesPerSecond }));
  const late: Fault = { kind: 'slow', worker: 'b', atMs: 300, forMs: 600, factor: 1e6 };
  const apart = job({ cluster: { minWorkers: 3 }, train: { batch: 120, epochs: 8 }, sync: { strategy: 'asp', minDeadlineMs: 100 } });
  const outcome = await simulate(scenario({ job: apart, fleet, faults: [late] }));
  expect(outcome.fired).toContain(late);
  const [missed, next] = eventsOf(outcome.events, 'contribution').filter(({ name }, i, all) => name === 'b' && all.slice(0, i + 1).some(({ accepted }) => !accepted));
  expect(missed!.reason).toMatch(/^missed its deadline of/);
  expect(next!.sentAtMs).toBe(missed!.doneAtMs);
});

test('a worker that misses deadline after deadline is released with the reason', async () => {
  const longer = { ...steady, train: { ...steady.train, epochs: 12 } };
  const outcome = await simulate(scenario({ job: longer, faults: [{ kind: 'slow', worker: 'b', atMs: 300, forMs: 1e7, factor: 1e9 }] }));
  expect(outcome.verdict.status).toBe('succeeded');
  const released = outcome.workerEvents.get('b')!.find((event) => event.event === 'released');
  expect(released).toMatchObject({ reason: expect.stringMatching(/deadline in a row: its device or link is too slow/) as string });
});

test('a silent worker is dropped after three heartbeats', async () => {
  const outcome = await simulate(
    scenario({ job: steady, heartbeatMs: 200, faults: [{ kind: 'stall', worker: 'c', atMs: 300, forMs: 1e6 }] }),
  );
  const left = outcome.events.find(({ body }) => body.event === 'node_left' && body.name === 'c');
  expect(left?.body).toMatchObject({ reason: 'silent for 3 heartbeats (600 ms)' });
  expect(left!.timeMs).toBeLessThan(1200);
  // The worker notices as well, and comes back.
  expect(
    outcome.workerEvents.get('c')!.some((event) => event.event === 'disconnected' && event.reason.startsWith('the server was silent')),
  ).toBe(true);
  expect(outcome.verdict.status).toBe('succeeded');
});

test('under any faults a round that has a contribution commits by its deadline', async () => {
  for (let seed = 1; seed <= 12; seed++) {
    const rng = createRng(`deadline/${seed}`);
    const faults = Array.from({ length: 6 }, (): Fault => {
      const [worker, atMs, forMs] = ['abcd'[rng.below(4)]!, 100 + rng.below(1500), rng.below(1500)];
      return rng.below(2) === 0
        ? { kind: 'stall', worker, atMs, forMs }
        : { kind: 'slow', worker, atMs, forMs, factor: 2 ** rng.below(20) };
    });
    const outcome = await simulate(scenario({ job: steady, faults, seed, heartbeatMs: 300 }));
    let slowestMs = 0;
    for (const commit of eventsOf(outcome.events, 'commit').filter(({ reason }) => !reason.includes('local steps'))) {
      const accepted = eventsOf(outcome.events, 'contribution').filter((event) => event.accepted && event.round === commit.round);
      const openedAtMs = Math.min(...accepted.map(({ sentAtMs }) => sentAtMs));
      const tookMs = outcome.events.find(({ body }) => body === commit)!.timeMs - openedAtMs;
      const elapsedMs = accepted.map(({ doneAtMs }) => doneAtMs - openedAtMs);
      // What is expected of a straggler is at most four times the slowest that ever delivered.
      const latestMs = 3 * Math.max(4 * slowestMs, Math.min(...elapsedMs));
      if (slowestMs > 0) expect(tookMs, `seed ${seed}`).toBeLessThanOrEqual(Math.max(100, latestMs) + 1);
      slowestMs = Math.max(slowestMs, ...elapsedMs);
    }
    expect(outcome.verdict.status, `seed ${seed}`).toBe('succeeded');
  }
}, 120_000);
