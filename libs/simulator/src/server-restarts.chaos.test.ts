import { createRng, fragmentsOf, localStepsOf, standingEvents, type Job } from '@longtail/core';
import { expect, test } from 'vitest';
import type { Fault } from './faults.js';
import type { Outcome } from './scenario.js';
import { simulate } from './simulate.js';
import { countingArithmetic, countingModel } from './testing/counting.js';
import { eventsOf, job, scenario } from './testing/scenarios.js';

const SEEDS = 12;
const SAMPLES = 240;

const killed = (atMs: number, forMs = 500): Fault => ({ kind: 'kill-server', atMs, forMs });
const group = job({ cluster: { minWorkers: 4 }, train: { epochs: 8 }, checkpoint: { everyMs: 300 } });

/** What stands of the log is what was applied or lost, sample by sample. */
function expectAddedUp({ events, leases, verdict, ledger }: Outcome): void {
  const standing = standingEvents(events);
  const committed = eventsOf(standing, 'commit').reduce((sum, { samples }) => sum + samples, 0);
  const contributed = eventsOf(standing, 'contribution').reduce((sum, { accepted, samples }) => sum + (accepted ? samples : 0), 0);
  const noted = ledger.flatMap((commit) => commit.leases).reduce((sum, { samples }) => sum + samples, 0);
  const lost = eventsOf(standing, 'samples_lost').reduce((sum, { samples }) => sum + samples, 0);
  expect([committed, contributed]).toEqual([leases.applied + lost, leases.applied + lost]);
  expect([noted, verdict.samples]).toEqual([leases.applied, { applied: leases.applied, lost }]);
  expect(leases).toMatchObject({ leased: 0, lost });
}

test('a server that is killed goes on from its last durable version, and undoes what came after it, visibly', async () => {
  const outcome = await simulate(scenario({ job: group, faults: [killed(900)] }));
  expect(outcome.fired.size).toBe(1);
  expect(outcome.verdict).toMatchObject({ status: 'succeeded', samples: { applied: 4800, lost: 0 } });
  expectAddedUp(outcome);
  const at = outcome.events.findIndex(({ body }) => body.event === 'resumed');
  const before = outcome.events.slice(0, at);
  const [resumed] = eventsOf(outcome.events, 'resumed');
  const durable = eventsOf(before, 'checkpoint').at(-1)!;
  const undone = eventsOf(before, 'commit').filter(({ version }) => version > durable.version);
  expect(resumed).toMatchObject({ version: durable.version, reason: 'its server was killed' });
  expect(undone.length).toBeGreaterThan(0);
  expect(resumed!.undone).toEqual({ commits: undone.length, samples: undone.reduce((sum, { samples }) => sum + samples, 0) });
  expect(eventsOf(outcome.events.slice(at), 'commit')[0]!.version).toBe(durable.version + 1);
});

test('nodes come back under their ids', async () => {
  const outcome = await simulate(scenario({ job: group, faults: [killed(900)] }));
  const at = outcome.events.findIndex(({ body }) => body.event === 'resumed');
  const ready = (from: number, to?: number) => eventsOf(outcome.events.slice(from, to), 'worker_ready').map(({ node }) => node);
  expect(new Set(ready(at))).toEqual(new Set(ready(0, at)));
  expect(new Set(ready(at)).size).toBe(4);
});

test('nobody waits for a node that came back and left again', async () => {
  const back = await simulate(scenario({ job: group, faults: [killed(900)] }));
  const resumed = back.events.findIndex(({ body }) => body.event === 'resumed');
  const joined = (events: typeof back.events) => events.slice(resumed).flatMap(({ body, timeMs }) => (body.event === 'node_joined' ? [{ ...body, timeMs }] : []));
  const [first, ...others] = joined(back.events);
  const leaves: Fault = { kind: 'kill', worker: first!.name, atMs: first!.timeMs + 1 };
  const outcome = await simulate(scenario({ job: group, faults: [killed(900), leaves] }));
  expect(outcome.fired.size).toBe(2);
  expect(outcome.verdict).toMatchObject({ status: 'succeeded', samples: { applied: 4800, lost: 0 } });
  const ready = outcome.events.slice(resumed).find(({ body }) => body.event === 'worker_ready');
  expect(ready!.timeMs).toBeLessThan(others.at(-1)!.timeMs + 1000);
});

test('before the first durable version a run begins anew', async () => {
  const outcome = await simulate(scenario({ job: { ...group, checkpoint: { everyMs: 60_000 } }, faults: [killed(900)] }));
  expect(eventsOf(outcome.events, 'resumed')).toMatchObject([{ version: 0, samplesApplied: 0, stands: 0 }]);
  expect(outcome.verdict).toMatchObject({ status: 'succeeded', samples: { applied: 4800, lost: 0 } });
  expectAddedUp(outcome);
});

test('an undisturbed run and one whose server is killed learn the same from the same steps', async () => {
  const lone = { fleet: [{ name: 'a', samplesPerSecond: 1000 }], job: job({ train: { epochs: 6 }, checkpoint: { everyMs: 300 } }) };
  const [calm, broken] = [await simulate(scenario(lone)), await simulate(scenario({ ...lone, faults: [killed(2200)] }))];
  expect(eventsOf(broken.events, 'resumed')[0]!.version).toBeGreaterThan(0);
  // Steps, moments, the data cursor and the learning rate go on: the batches are the same ones, in the same order.
  expect(broken.steps).toBe(calm.steps);
  expect(broken.parameters).toEqual(calm.parameters);
});

const SYNCS: readonly Partial<Job['sync']>[] = [
  { strategy: 'bsp' },
  { strategy: 'ssp', staleness: 1 },
  { strategy: 'asp' },
  { strategy: 'diloco', localSteps: 4, quorum: 0.75, graceMs: 50 },
  { strategy: 'streaming-diloco', localSteps: 4, fragments: 3 },
];

test.each(SYNCS)('every sample stands exactly once, whenever servers and workers die (%j)', async (sync) => {
  let resumes = 0;
  let lost = 0;
  for (let seed = 1; seed <= SEEDS; seed++) {
    const rng = createRng(`restarts/${seed}`);
    const fleet = Array.from({ length: 1 + rng.below(4) }, (_, i) => ({
      name: `w${i}`,
      samplesPerSecond: 50 + rng.below(800),
      joinAtMs: rng.below(3) === 0 ? rng.below(3000) : 0,
    }));
    const deaths = Array.from({ length: 1 + rng.below(3) }, () => killed(rng.below(6000), 10 + rng.below(3000)));
    const last = fleet.at(-1)!;
    const leaves: readonly Fault[] = fleet.length > 1 ? [{ kind: 'kill', worker: last.name, atMs: rng.below(5000) }] : [];
    const outcome = await simulate({
      job: job({
        train: { epochs: 3, batch: 16 + rng.below(40), optimizer: { type: 'sgd', momentum: 0.9, nesterov: false, weightDecay: 0 } },
        sync: { ...sync, minDeadlineMs: 100 + rng.below(400) },
        cluster: { waitMs: 20_000 },
        checkpoint: { everyMs: 100 + rng.below(1000) },
      }),
      model: countingModel(SAMPLES, 50),
      arithmetic: countingArithmetic,
      fleet,
      faults: [...deaths, ...leaves],
      seed,
      chunkLength: 64,
    }).catch((error: unknown) => {
      throw new Error(`seed ${seed}: ${String(error)}`, { cause: error });
    });
    const where = `seed ${seed}: ${outcome.verdict.reason}`;
    expect(outcome.verdict.status, where).toBe('succeeded');
    expectAddedUp(outcome);
    const sign = localStepsOf({ ...outcome.store.job.sync, ...sync }) === undefined ? 1 : -1;
    if ((fragmentsOf(outcome.store.job.sync) ?? 1) === 1) expect(new Set([...outcome.parameters].map((count) => sign * count)), where).toEqual(new Set([3]));
    expect(outcome.events.map(({ seq }) => seq), where).toEqual(outcome.events.map((_, i) => i + 1));
    resumes += eventsOf(outcome.events, 'resumed').length;
    lost += outcome.verdict.samples.lost;
  }
  expect(resumes).toBeGreaterThan(SEEDS / 2);
  expect(lost > 0).toBe(fragmentsOf(job({ sync }).sync) !== undefined);
});
