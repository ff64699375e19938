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
  fc.record({
    worker: fc.nat({ max: 5 }),
    atMs: fc.integer({ min: 50, max: 800 }),
    forMs: fc.integer({ min: 1, max: 1500 }),
    kind: fc.constantFrom('stall', 'cut', 'slow' as const),
  }),
  { maxLength: 4 },
);

/** Samples a second of each worker, and what is to happen. */
type Drawn = [number[], { worker: number; atMs: number; forMs: number; kind: 'stall' | 'cut' | 'slow' }[]];

/** A look more or less, at a deadline that has moved, while somebody has no share: it once moved the next try for it. */
const MOVED: Drawn = [
  [992, 212, 961, 1457, 1945],
  [
    { worker: 5, atMs: 625, forMs: 634, kind: 'slow' },
    { worker: 5, atMs: 99, forMs: 661, kind: 'stall' },
    { worker: 5, atMs: 721, forMs: 1116, kind: 'slow' },
  ],
];

/** One group's deadline has moved ahead, and another's own is over before that is noticed. */
const OVERTAKEN: Drawn = [
  [505, 202, 440, 1372, 202, 526],
  [
    { worker: 1, atMs: 174, forMs: 604, kind: 'cut' },
    { worker: 1, atMs: 626, forMs: 1130, kind: 'stall' },
    { worker: 4, atMs: 420, forMs: 1303, kind: 'slow' },
    { worker: 0, atMs: 376, forMs: 940, kind: 'slow' },
  ],
];

/** To a millionth: who looks once more before a deadline wakes a rounding of the clock away from it. */
function rounded(events: readonly StoredEvent[]): readonly StoredEvent[] {
  return JSON.parse(
    JSON.stringify(events, (_key, value: unknown) => (typeof value === 'number' ? Math.round(1e6 * value) : value)),
  ) as StoredEvent[];
}

/** Who misses its deadline by this event, in which task. */
function missedBy(event: StoredEvent | undefined): string | undefined {
  return event?.body.event === 'contribution' && event.body.reason.startsWith('missed its deadline') ? taskOf(event) : undefined;
}

function taskOf({ body }: StoredEvent): string | undefined {
  return body.event === 'contribution' ? `${body.name} in round ${body.round}` : undefined;
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
          return kind === 'cut'
            ? { kind, ...target }
            : kind === 'stall'
              ? { kind, ...target, forMs }
              : { kind, ...target, forMs, factor: 20 };
        });
        const fleet = speeds.map((samplesPerSecond, i) => ({
          name: `w${i}`,
          samplesPerSecond,
          link: { upBitsPerSecond: 1e6, downBitsPerSecond: 5e6, rttMs: 1 + 17 * i },
        }));
        const run = (apart: boolean) =>
          simulate(
            scenario({
              job: { ...recipe, cluster: { ...recipe.cluster, minWorkers: speeds.length } },
              fleet,
              faults: struck,
              strategy: { ...createStrategy(recipe.sync), apart },
            }),
          );
        const [events, others] = [rounded((await run(true)).events), rounded((await run(false)).events)];
        const first = Array.from({ length: Math.max(events.length, others.length) }, (_, i) => i).find(
          (i) => !isDeepStrictEqual(events[i], others[i]),
        );
        // A deadline that what is known of the server's line moves ahead is noticed by whoever looks at all, and otherwise later; from then on runs differ.
        if (first !== undefined) {
          const noticed = missedBy(others[first]);
          expect(noticed, JSON.stringify([events[first], others[first]])).toBeDefined();
          expect(events.slice(first).map(taskOf)).toContain(noticed);
        }
        if (JSON.stringify(events).includes('missed its deadline')) missed++;
      }),
      { numRuns: 25, endOnFailure: true, examples: [MOVED, OVERTAKEN] },
    );
    expect(missed, 'runs in which somebody was late').toBeGreaterThan(0);
  },
);
