import fc from 'fast-check';
import { expect, test } from 'vitest';
import type { ShareRule } from '@longtail/core';
import { balancedShares } from '@longtail/sync';
import type { Fault } from './faults.js';
import { simulate } from './simulate.js';
import { eventsOf, job, scenario } from './testing/scenarios.js';

const BATCH = 60;
const ROUNDS = 30;
/** Shares of a few samples each, as of a small batch of a large model: a sample is ten milliseconds of a fast device. */
const steady = job({ cluster: { minWorkers: 4 }, train: { epochs: (ROUNDS * BATCH) / 600, batch: BATCH }, validation: { everyEpochs: 100 } });

interface Device {
  readonly samplesPerSecond: number;
  readonly overheadMs: number;
}

/** None is so slow that it would be left out. */
const devices = fc.array(
  fc.record({ samplesPerSecond: fc.integer({ min: 25, max: 100 }), overheadMs: fc.integer({ min: 0, max: 100 }) }),
  { minLength: 4, maxLength: 4 },
);

async function run(fleet: readonly Device[], options: { readonly seed?: number; readonly jitter?: number; readonly faults?: readonly Fault[] } = {}) {
  const { seed = 1, jitter = 0, faults = [] } = options;
  const workers = fleet.map((device, i) => ({ name: 'abcd'[i]!, jitter, ...device }));
  const outcome = await simulate(scenario({ job: steady, fleet: workers, seed, faults }));
  expect(outcome.verdict, outcome.verdict.reason).toMatchObject({ status: 'succeeded', samples: { applied: ROUNDS * BATCH, lost: 0 } });
  const contributions = eventsOf(outcome.events, 'contribution');
  const roundMs = Array.from({ length: ROUNDS }, (_, i) => {
    const own = contributions.filter(({ round }) => round === i + 1);
    return Math.max(...own.map(({ doneAtMs }) => doneAtMs)) - Math.min(...own.map(({ sentAtMs }) => sentAtMs));
  });
  const moved = eventsOf(outcome.events, 'shares').map(({ round }) => round);
  return { outcome, roundMs, moved };
}

/** Of what the devices take, known exactly; the exchange is milliseconds. */
function leastRoundMs(fleet: readonly Device[]): number {
  const times = fleet.map(({ samplesPerSecond, overheadMs }, i) => ({ node: `${i}`, fixedMs: overheadMs, msPerSample: 1000 / samplesPerSecond }));
  const shares = balancedShares()(BATCH, times, new Map());
  return Math.max(...times.map(({ node, fixedMs, msPerSample }) => (shares.get(node) ? fixedMs + shares.get(node)! * msPerSample : 0)));
}

test('devices with a fixed time of their own have the best shares within a few rounds, and keep them', async () => {
  await fc.assert(
    fc.asyncProperty(devices, async (fleet) => {
      const { roundMs, moved } = await run(fleet);
      for (const ms of roundMs.slice(10)) expect(ms).toBeLessThan(1.15 * leastRoundMs(fleet) + 20);
      // What was measured of the first sizes is forgotten by then (`speed.ts`: 15 rounds).
      expect(moved.filter((round) => round > 18)).toEqual([]);
    }),
    { numRuns: 10 },
  );
});

test('noise of a tenth moves shares seldom, and rounds stay short', async () => {
  await fc.assert(
    fc.asyncProperty(devices, fc.integer({ min: 1, max: 1000 }), async (fleet, seed) => {
      const { roundMs, moved } = await run(fleet, { seed, jitter: 0.1 });
      expect(moved.filter((round) => round > 15).length).toBeLessThanOrEqual(5);
      for (const ms of roundMs.slice(10)) expect(ms).toBeLessThan(1.4 * leastRoundMs(fleet) + 20);
    }),
    { numRuns: 10 },
  );
});

test('a device that becomes three times as slow is followed within six rounds', async () => {
  const fleet = [100, 60, 40, 25].map((samplesPerSecond) => ({ samplesPerSecond, overheadMs: 30 }));
  const slow: Fault = { kind: 'slow', worker: 'a', atMs: 5000, forMs: 1e6, factor: 3 };
  const { outcome, roundMs } = await run(fleet, { faults: [slow], jitter: 0.1 });
  expect(outcome.fired).toContain(slow);
  const begun = eventsOf(outcome.events, 'commit');
  const before = leastRoundMs(fleet);
  const after = leastRoundMs([{ samplesPerSecond: 100 / 3, overheadMs: 90 }, ...fleet.slice(1)]);
  const hit = roundMs.findIndex((ms) => ms > 1.5 * before);
  expect(hit).toBeGreaterThan(5);
  expect(hit + 6).toBeLessThan(begun.length);
  for (const ms of roundMs.slice(hit + 6)) expect(ms).toBeLessThan(1.25 * after + 20);
});

test('where each goes on as soon as it is done, shares are planned once a batch, and all of it is learnt from', async () => {
  const rule = balancedShares();
  let plans = 0;
  const asynchronous = { ...steady, sync: { ...steady.sync, strategy: 'asp' } } as const;
  const { verdict, events } = await simulate(
    scenario({
      job: asynchronous,
      shares: (...of) => {
        plans++;
        return rule(...of);
      },
    }),
  );
  expect(verdict).toMatchObject({ status: 'succeeded', samples: { applied: ROUNDS * BATCH, lost: 0 } });
  expect(eventsOf(events, 'contribution').length).toBeGreaterThan(2 * ROUNDS);
  // And once more when the first group is ready before the others.
  expect(plans).toBeLessThanOrEqual(ROUNDS + 2);
});

test('asp: who is too slow for a share is not sent the versions that the others make', async () => {
  const fleet = [100, 100, 100, 1].map((samplesPerSecond, i) => ({ name: 'abcd'[i]!, samplesPerSecond }));
  const { verdict, account, events } = await simulate(scenario({ job: { ...steady, sync: { ...steady.sync, strategy: 'asp' } }, fleet, account: true }));
  expect(verdict.samples).toMatchObject({ applied: ROUNDS * BATCH });
  expect(eventsOf(events, 'contribution').filter(({ name }) => name === 'd')).toEqual([]);
  const [fast, , , slow] = account!.nodes;
  expect(slow!.bytesDown).toBeLessThan(fast!.bytesDown / 10);
});

test('bsp on a line that all share: an exchange is expected to take what it took, and who has no share leaves the line to the others', async () => {
  const link = { upBitsPerSecond: 2e4, downBitsPerSecond: 1e5, rttMs: 20, site: 'dorm' };
  const fleet = [100, 100, 60, 60, 25, 25].map((samplesPerSecond, i) => ({ name: 'abcdef'[i]!, samplesPerSecond, link }));
  const sync = { ...steady.sync, minDeadlineMs: 1 };
  const { verdict, account, events } = await simulate(scenario({ job: { ...steady, sync }, fleet, account: true }));
  expect(verdict).toMatchObject({ status: 'succeeded', samples: { applied: ROUNDS * BATCH } });
  expect(eventsOf(events, 'contribution').filter(({ accepted }) => !accepted).length).toBeLessThanOrEqual(1);
  const last = eventsOf(events, 'shares').at(-1)!.shares;
  const most = Math.max(...account!.nodes.map(({ bytesDown }) => bytesDown));
  for (const { name, bytesDown } of account!.nodes) {
    const node = eventsOf(events, 'contribution').find((one) => one.name === name)!.node;
    if (last[node] === 0) expect(bytesDown).toBeLessThan(most / 2);
  }
  expect(Object.values(last).filter((share) => share === 0).length).toBeGreaterThan(1);
});

const LONGER = 200;

test('bsp behind one line takes little longer than the fastest would alone, and much less than all together', async () => {
  const link = { upBitsPerSecond: 2e4, downBitsPerSecond: 1e5, rttMs: 20, site: 'dorm' };
  const fleet = [100, 100, 100, 60, 60, 60, 60, 60, 25, 25, 25, 25].map((samplesPerSecond, i) => ({ name: `n${i}`, samplesPerSecond, link }));
  const longer = { ...steady, train: { ...steady.train, epochs: (LONGER * BATCH) / 600 }, cluster: { ...steady.cluster, minWorkers: fleet.length } };
  const times = async (shares?: ShareRule) => {
    const { verdict, virtualMs } = await simulate(scenario({ job: longer, fleet, shares }));
    expect(verdict).toMatchObject({ status: 'succeeded', samples: { applied: LONGER * BATCH, lost: 0 } });
    return virtualMs;
  };
  const rule = balancedShares();
  const blind: ShareRule = Object.assign((...[batch, workers, previous]: Parameters<ShareRule>) => rule(batch, workers, previous), { fixed: true });
  const [knowing, unknowing, one] = [await times(), await times(blind), await times(allTo(0))];
  expect(knowing).toBeLessThan(1.15 * one);
  expect(knowing).toBeLessThan(0.75 * unknowing);
});

/** The whole batch. */
function allTo(index: number): ShareRule {
  return Object.assign((...[batch, workers]: Parameters<ShareRule>) => new Map(workers.map(({ node }, i) => [node, i === index ? batch : 0])), { fixed: true });
}
