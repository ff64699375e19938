import type { Job } from '@longtail/core';
import { expect, test } from 'vitest';
import { roundsOf, type Case } from './testing/rounds-in-virtual-time.js';

const LINK = { up: 40e6, down: 200e6 };
/** For the whole model and for half of it, or a third. */
const [WHOLE, HALF, THIRD] = [1e12, 9e6, 7e6];

const solo = (teraflops: number) => ({ teraflops: [[teraflops]], blocks: [8] });
const pipeline = (teraflops: readonly number[], blocks: readonly number[]) => ({ teraflops: teraflops.map((one) => [one]), blocks });
const over = (...devices: readonly (readonly [teraflops: number, memoryBytes: number])[]) => ({ devices: devices.map(([teraflops, memoryBytes]) => ({ teraflops, memoryBytes })) });

test.each<[string, Partial<Job['sync']>, Case['over'], boolean?]>([
  ['four workers', { localSteps: 20 }, [1, 0.8, 0.5, 0.3].map(solo)],
  ['eight workers', { localSteps: 20 }, [1, 1, 0.91, 0.61, 0.51, 0.41, 0.31, 0.21].map(solo)],
  ['streams of four workers', { strategy: 'streaming-diloco', localSteps: 40, fragments: 4 }, [1, 0.8, 0.5, 0.3].map(solo)],
  ['two pipelines and a solo worker, through the server', { localSteps: 20 }, [pipeline([0.3, 0.2, 0.2], [4, 2, 2]), pipeline([0.2, 0.1], [5, 3]), solo(0.5)]],
  ['a fast pipeline and a solo worker', { localSteps: 5 }, [pipeline([3, 3], [4, 4]), solo(3)], true],
  ['unequal groups with small batches of their own', { localSteps: 20, localBatch: 12 }, [pipeline([0.3, 0.2, 0.2], [4, 2, 2]), solo(0.5), solo(0.2)], true],
  ['unequal groups with large ones', { localSteps: 10, localBatch: 64 }, [pipeline([0.5, 0.5, 0.5, 0.5], [2, 2, 2, 2]), solo(0.5)], true],
  ['what is planned of halves and a solo worker', { localSteps: 20 }, over([2, HALF], [2, HALF], [0.3, WHOLE]), true],
  ['what is planned of slow halves', { localSteps: 20 }, over([0.05, HALF], [0.05, HALF], [1, WHOLE]), true],
  ['what is planned of thirds and a solo worker, through the server', { localSteps: 5, localBatch: 12 }, over([0.4, THIRD], [0.3, THIRD], [0.2, THIRD], [0.4, THIRD], [1, THIRD], [0.5, WHOLE])],
  ['what is planned of thirds, with as many steps as suit', { localSteps: 'auto' }, over([0.4, THIRD], [0.3, THIRD], [0.2, THIRD], [0.4, THIRD], [1, THIRD], [0.5, WHOLE]), true],
])('rounds of local steps last as long as planned, and do as many samples: %s', async (_, sync, laid, direct) => {
  const { plan, ms, samples } = await roundsOf({ over: laid, link: LINK, sync, direct: direct ?? false, rounds: 3 });
  expect(plan.groups.length).toBeGreaterThan(1);
  expect(plan.roundMs / ms).toBeCloseTo(1, 1);
  expect(plan.samplesPerRound / samples).toBeCloseTo(1, 1);
});
