import { isDeepStrictEqual } from 'node:util';
import type { Job, StoredEvent } from '@longtail/core';
import { createStrategy } from '@longtail/sync';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import type { Fault } from './faults.js';
import { simulate } from './simulate.js';
import { job, scenario } from './testing/scenarios.js';

const fleets = fc.array(fc.integer({ min: 200, max: 2000 }), { minLength: 2, maxLength: 6 });
const faults = fc.array(
  fc.record({ worker: fc.nat({ max: 5 }), atMs: fc.integer({ min: 50, max: 800 }), forMs: fc.integer({ min: 1, max: 1500 }), kind: fc.constantFrom('stall', 'cut', 'slow' as const) }),
  { maxLength: 4 },
);

/** A look more or less, at a deadline that has moved, while somebody has no share: it once moved the next try for it. */
const MOVED: [number[], { worker: number; atMs: number; forMs: number; kind: 'stall' | 'slow' }[]] = [
  [992, 212, 961, 1457, 1945],
  [{ worker: 5, atMs: 625, forMs: 634, kind: 'slow' }, { worker: 5, atMs: 99, forMs: 661, kind: 'stall' }, { worker: 5, atMs: 721, forMs: 1116, kind: 'slow' }],
];

/** To a millionth: who looks once more before a deadline wakes a rounding of the clock away from it. */
function rounded(events: readonly StoredEvent[]): readonly StoredEvent[] {
  return JSON.parse(JSON.stringify(events, (_key, value: unknown) => (typeof value === 'number' ? Math.round(1e6 * value) : value))) as StoredEvent[];
}

/** Who next misses a deadline, from an event on, in which task, and how many events later. */
function nextMissed(events: readonly StoredEvent[], from: number) {
  for (const [later, { body }] of events.slice(from).entries()) {
    if (body.event === 'contribution' && body.reason.startsWith('missed its deadline')) return { name: body.name, round: body.round, later };
  }
  return undefined;
}

test.each<Partial<Job['sync']>>([{ strategy: 'asp' }, { strategy: 'ssp', staleness: 1 }, { strategy: 'asp', localSteps: 5 }])(
  'decided about each group by itself a run goes as when all are looked at each time: %o',
  async (sync) => {
    const recipe = job({ train: { batch: 40, maxSamples: 1200 }, validation: { everyEpochs: 0.3, maxSamples: 20 }, sync });
    let missed = 0;
    await fc.assert(
      fc.asyncProperty(fleets, faults, async (speeds, troubles) => {
        const struck = troubles.map(({ worker, atMs, forMs, kind }): Fault => {
          const target = { worker: `w${worker % speeds.length}`, atMs };
          return kind === 'cut' ? { kind, ...target } : kind === 'stall' ? { kind, ...target, forMs } : { kind, ...target, forMs, factor: 20 };
        });
        const fleet = speeds.map((samplesPerSecond, i) => ({ name: `w${i}`, samplesPerSecond, link: { upBitsPerSecond: 1e6, downBitsPerSecond: 5e6, rttMs: 1 + 17 * i } }));
        const run = (apart: boolean) => simulate(scenario({ job: { ...recipe, cluster: { ...recipe.cluster, minWorkers: speeds.length } }, fleet, faults: struck, strategy: { ...createStrategy(recipe.sync), apart } }));
        const [events, others] = [rounded((await run(true)).events), rounded((await run(false)).events)];
        const first = Array.from({ length: Math.max(events.length, others.length) }, (_, i) => i).find((i) => !isDeepStrictEqual(events[i], others[i]));
        // A deadline that what is known of the server's line moves ahead is noticed by whoever looks at all; from then on runs differ.
        if (first !== undefined) {
          const [missed, sooner] = [nextMissed(events, first), nextMissed(others, first)];
          expect({ ...missed, later: 0 }, JSON.stringify([events[first], others[first]])).toEqual({ ...sooner, later: 0 });
          expect(Math.min(missed!.later, sooner!.later)).toBe(0);
        }
        if (JSON.stringify(events).includes('missed its deadline')) missed++;
      }),
      { numRuns: 25, endOnFailure: true, examples: [MOVED] },
    );
    expect(missed, 'runs in which somebody was late').toBeGreaterThan(0);
  },
);
