import type { RoundState, SyncStrategy } from '@longtail/core';
import { createStrategy } from '@longtail/sync';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import type { Fault } from './faults.js';
import { simulate } from './simulate.js';
import { job, scenario } from './testing/scenarios.js';

const fleets = fc.array(fc.integer({ min: 200, max: 2000 }), { minLength: 2, maxLength: 5 });
const troubles = fc.array(
  fc.record({
    worker: fc.nat({ max: 4 }),
    atMs: fc.integer({ min: 200, max: 2000 }),
    forMs: fc.integer({ min: 1, max: 1500 }),
    factor: fc.option(fc.integer({ min: 2, max: 50 }), { nil: undefined }),
  }),
  { maxLength: 6 },
);

/** Shows each state to `look` before the strategy sees it. */
function watched(strategy: SyncStrategy, look: (state: RoundState) => void): SyncStrategy {
  return {
    ...strategy,
    decide(state, nowMs) {
      look(state);
      return strategy.decide(state, nowMs);
    },
  };
}

/** The furthest that a group at work was ahead of the slowest. */
async function furthestLead(speeds: readonly number[], faults: readonly Fault[], staleness: number, localSteps: number | undefined): Promise<number> {
  // Nobody misses a deadline, so that all wait for whoever is slow.
  const sync = { strategy: 'ssp', staleness, localSteps, deadlineFactor: 1e6, minDeadlineMs: 200, codec: 'fp32', maxNorm: undefined } as const;
  const clocks = new Map<string, number>();
  let furthest = 0;
  const strategy = watched(createStrategy(sync), ({ members, fleet }) => {
    // Validations have no clocks.
    if (fleet === undefined) return;
    for (const { node, rounds } of members) {
      expect(rounds, 'clocks do not go back').toBeGreaterThanOrEqual(clocks.get(node) ?? 0);
      clocks.set(node, rounds);
    }
    const slowest = Math.min(...clocks.values());
    expect(fleet).toMatchObject({ groups: speeds.length, leastRounds: slowest });
    for (const { rounds, task } of members) if (task !== undefined) furthest = Math.max(furthest, rounds - slowest);
  });
  const link = (i: number) => ({ upBitsPerSecond: 1e6, downBitsPerSecond: 5e6, rttMs: 1 + 17 * i });
  const outcome = await simulate(
    scenario({
      job: job({ train: { batch: 40, maxSamples: 400 }, validation: { everyEpochs: 0.3, maxSamples: 20 }, sync, cluster: { minWorkers: speeds.length } }),
      fleet: speeds.map((samplesPerSecond, i) => ({ name: `w${i}`, samplesPerSecond, link: link(i) })),
      strategy,
      faults,
    }),
  );
  expect(outcome.verdict).toMatchObject({ status: 'succeeded', samples: { applied: 400, lost: 0 } });
  return furthest;
}

test('ssp: no group at work is further ahead of the slowest than the bound, whoever stalls or slows down and when', async () => {
  let atTheBound = 0;
  await fc.assert(
    fc.asyncProperty(fleets, troubles, fc.integer({ min: 0, max: 3 }), fc.constantFrom(undefined, 3), async (speeds, list, staleness, localSteps) => {
      const faults = list.map(({ worker, atMs, forMs, factor }): Fault => {
        const at = { worker: `w${worker % speeds.length}`, atMs, forMs };
        return factor === undefined ? { kind: 'stall', ...at } : { kind: 'slow', ...at, factor };
      });
      const lead = await furthestLead(speeds, faults, staleness, localSteps);
      expect(lead).toBeLessThanOrEqual(staleness);
      if (staleness > 0 && lead === staleness) atTheBound++;
    }),
    { numRuns: 15 },
  );
  expect(atTheBound).toBeGreaterThan(0);
});
