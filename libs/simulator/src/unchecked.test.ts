import { expect, test } from 'vitest';
import type { Scenario } from './scenario.js';
import { simulate } from './simulate.js';
import { pipelined, three } from './testing/pipelined.js';
import { job, scenario } from './testing/scenarios.js';

/** Slow enough that chunks are under way when links end and rounds go on without somebody. */
const link = { upBitsPerSecond: 20_000, downBitsPerSecond: 80_000, rttMs: 20 };
const fleet = ['a', 'b', 'c'].map((name, i) => ({ name, samplesPerSecond: 400 - 100 * i, link }));
const faults = [
  { kind: 'cut', worker: 'a', atMs: 900 },
  { kind: 'stall', worker: 'b', atMs: 1200, forMs: 900 },
  { kind: 'slow', worker: 'c', atMs: 1500, factor: 9, forMs: 3000 },
] as const;

const solo = (sync: NonNullable<Parameters<typeof job>[0]>['sync']): Scenario => scenario({ job: job({ sync }), fleet, faults });

test.each([
  ['bsp', solo({ quorum: 0.6 })],
  ['bsp int8', solo({ codec: 'int8', quorum: 0.6 })],
  ['asp', solo({ strategy: 'asp' })],
  ['diloco', solo({ strategy: 'diloco', localSteps: 3, quorum: 0.6 })],
  ['streaming-diloco', solo({ strategy: 'streaming-diloco', localSteps: 3, fragments: 2 })],
  ['a pipeline', pipelined([three, [{ workers: ['d'] }]])],
] as const)('%s goes without checksums as with them', async (_name, one) => {
  const [checked, unchecked] = [await simulate(one), await simulate({ ...one, checksums: false })];
  expect(unchecked.fired).toEqual(new Set(one.faults));
  expect(unchecked.events).toEqual(checked.events);
  expect(unchecked.parameters).toEqual(checked.parameters);
});
