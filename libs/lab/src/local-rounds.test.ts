import type { Job } from '@longtail/core';
import { createPlan, planRequestFor } from '@longtail/planner';
import { simulate, timingModel } from '@longtail/simulator';
import { expect, test } from 'vitest';
import { eightBlocks, jobOf } from './testing/rounds-in-virtual-time.js';

const ROUNDS = 6;
const LINK = { up: 40e6, down: 200e6, roundTripMs: 20 };
const BLOCKS = eightBlocks([]);

test.each<[Partial<Job['sync']>, readonly number[]]>([
  [{ localSteps: 20 }, [1, 0.8, 0.5, 0.3]],
  [{ localSteps: 20 }, [1, 1, 0.9, 0.6, 0.5, 0.4, 0.3, 0.2]],
  [{ strategy: 'streaming-diloco', localSteps: 40, fragments: 4 }, [1, 0.8, 0.5, 0.3]],
])('under %o rounds of unequal workers (%o TFLOP/s) last as long as planned, and do as many samples', async (sync, teraflops) => {
  const job = jobOf(sync, { minWorkers: teraflops.length });
  const names = teraflops.map((_, i) => `d${i}`);
  const plan = createPlan(
    { name: 'rounds', inputBytes: 4, blocks: BLOCKS },
    {
      devices: names.map((id, i) => ({ id, name: id, flopsPerSecond: teraflops[i]! * 1e12, memoryBytes: 1e12, upBitsPerSecond: LINK.up, downBitsPerSecond: LINK.down, roundTripMs: LINK.roundTripMs })),
      lans: [],
      peers: [],
    },
    planRequestFor(job),
  );
  const outcome = await simulate({
    ...timingModel({ blocks: BLOCKS, trainSamples: Math.round(ROUNDS * plan.samplesPerRound) }),
    job,
    fleet: names.map((name, i) => ({ name, samplesPerSecond: (teraflops[i]! * 1e12) / 24e9, overheadMs: 0, link: { upBitsPerSecond: LINK.up, downBitsPerSecond: LINK.down, rttMs: LINK.roundTripMs } })),
    seed: 1,
    serverBitsPerSecond: 1e12,
  });
  expect(outcome.verdict, outcome.verdict.reason).toMatchObject({ status: 'succeeded' });
  const commits = outcome.events.flatMap(({ body, timeMs }) => (body.event === 'commit' ? [{ timeMs, samples: body.samples }] : []));
  const [, first, , , last] = commits;
  const samples = commits.slice(2, 5).reduce((sum, commit) => sum + commit.samples, 0) / 3;
  expect(plan.groups).toHaveLength(teraflops.length);
  expect(plan.roundMs / ((last!.timeMs - first!.timeMs) / 3)).toBeCloseTo(1, 1);
  expect(plan.samplesPerRound / samples).toBeCloseTo(1, 1);
});
