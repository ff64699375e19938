import { expect, test } from 'vitest';
import type { Fault } from './faults.js';
import { simulate } from './simulate.js';
import { job, scenario } from './testing/scenarios.js';

const moments = Array.from({ length: 30 }, (_, i) => 322 + 3 * i);

test.each(moments)('a link that breaks while a lone worker is sent parameters anew (at %i ms) is waited for, and does not keep the server busy', async (atMs) => {
  const faults: readonly Fault[] = [
    { kind: 'fail', worker: 'a', atMs: 321 },
    { kind: 'cut', worker: 'a', atMs },
  ];
  const link = { upBitsPerSecond: 6.7e6, downBitsPerSecond: 1e5, rttMs: 52 };
  const outcome = await simulate(scenario({ job: job({ train: { epochs: 2 } }), fleet: [{ name: 'a', samplesPerSecond: 300, link }], faults }));
  expect(outcome.fired).toEqual(new Set(faults));
  expect(outcome.verdict).toMatchObject({ status: 'succeeded', samples: { applied: 1200, lost: 0 } });
});
