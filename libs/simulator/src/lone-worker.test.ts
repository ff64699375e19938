import { expect, test } from 'vitest';
import type { Fault } from './faults.js';
import { simulate } from './simulate.js';
import { countingArithmetic, countingModel } from './testing/counting.js';
import { job } from './testing/scenarios.js';

const moments = Array.from({ length: 24 }, (_, i) => 340 + 3 * i);

test.each(moments)('a link that breaks while a lone worker is sent parameters anew (at %i ms) is waited for, and does not keep the server busy', async (atMs) => {
  const faults: readonly Fault[] = [
    { kind: 'fail', worker: 'a', atMs: 321 },
    { kind: 'cut', worker: 'a', atMs },
  ];
  const optimizer = { type: 'sgd', momentum: 0.9, nesterov: false, weightDecay: 0 } as const;
  const outcome = await simulate({
    job: job({ train: { epochs: 3, batch: 9, optimizer } }),
    model: countingModel(90, 12, 3),
    arithmetic: countingArithmetic,
    fleet: [{ name: 'a', samplesPerSecond: 152, link: { upBitsPerSecond: 6.7e6, downBitsPerSecond: 1e6, rttMs: 52 } }],
    faults,
    seed: 525,
    chunkLength: 32,
  });
  expect(outcome.fired).toEqual(new Set(faults));
  expect(outcome.verdict).toMatchObject({ status: 'succeeded', samples: { applied: 270, lost: 0 } });
  expect(new Set(outcome.parameters)).toEqual(new Set([3]));
});
