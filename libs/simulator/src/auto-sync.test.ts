import fc from 'fast-check';
import { expect, test } from 'vitest';
import type { Fault } from './faults.js';
import { simulate, type SimulatedWorker } from './simulate.js';
import { eventsOf, job, scenario, unequalFleet } from './testing/scenarios.js';
test('try', async () => {
  for (const link of [undefined, { upBitsPerSecond: 2e5, downBitsPerSecond: 1e6, rttMs: 5 }, { upBitsPerSecond: 5e3, downBitsPerSecond: 1e6, rttMs: 40 }]) {
    const outcome = await simulate(scenario({ job: job({ sync: { strategy: 'auto' }, train: { epochs: 12 } }), fleet: unequalFleet.map((w) => ({ ...w, ...(link && { link }) })) }));
    console.log(outcome.verdict, outcome.virtualMs, eventsOf(outcome.events, 'sync'), eventsOf(outcome.events, 'commit').length, eventsOf(outcome.events, 'link').slice(0,2));
  }
});
