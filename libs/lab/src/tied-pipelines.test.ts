import type { Job } from '@longtail/core';
import { planLayout, planRequestFor } from '@longtail/planner';
import { simulate, timingModel } from '@longtail/simulator';
import { expect, test } from 'vitest';

const BATCH = 32;
const LOCAL_STEPS = 4;
const ROUNDS = 3;
const MICROBATCH = 4;

interface Case {
  /** Values that the first stage and the last read. */
  readonly tied: number;
  /** TFLOP/s of each stage's device. */
  readonly devices: readonly number[];
  /** Blocks of each stage, of 8. */
  readonly blocks: readonly number[];
  readonly link: { readonly up: number; readonly down: number };
}

function jobOf({ blocks }: Case): Job {
  return {
    name: 'tied',
    model: { type: 'mlp', input: 12, hidden: [], outputs: 3 },
    loss: 'cross-entropy',
    data: { type: 'mnist' },
    train: {
      epochs: 1,
      maxSamples: undefined,
      batch: BATCH,
      optimizer: { type: 'sgd', momentum: 0, nesterov: false, weightDecay: 0 },
      learningRate: 0.1,
      schedule: { type: 'constant' },
      clipNorm: undefined,
      seed: 1,
    },
    validation: { everyEpochs: 1, maxSamples: undefined },
    sync: { strategy: 'diloco', localSteps: LOCAL_STEPS, deadlineFactor: 10, minDeadlineMs: 1e7, codec: 'fp32', maxNorm: undefined },
    cluster: {
      minWorkers: blocks.length,
      waitMs: 10_000,
      engine: undefined,
      microbatch: MICROBATCH,
      layout: [blocks.map((count, i) => ({ workers: [`d${i}`], blocks: count }))],
    },
    checkpoint: { everyMs: 1e9 },
  };
}

/** Of a round: what the plan says, and what the runtime takes in virtual time. */
async function roundsOf(given: Case): Promise<{ readonly plannedMs: number; readonly ms: number }> {
  const { devices, blocks: counts, link } = given;
  const table = [{ name: 'table', parameters: given.tied }];
  const blocks = Array.from({ length: 8 }, (_, i) => ({
    name: `block${i}`,
    parameters: 100_000,
    tied: i === 0 || i === 7 ? table : [],
    forwardFlops: 1e9,
    backwardFlops: 2e9,
    outputBytes: 4000,
    stashBytes: 4000,
    cutAfter: true,
  }));
  const names = devices.map((_, i) => `d${i}`);
  const starts = counts.map((_, i) => counts.slice(0, i).reduce((sum, count) => sum + count, 0));
  const job = jobOf(given);
  const roundTripMs = 20;
  const plan = planLayout(
    { name: 'tied', inputBytes: 4, blocks },
    {
      devices: names.map((id, i) => ({
        id,
        name: id,
        flopsPerSecond: devices[i]! * 1e12,
        memoryBytes: 1e12,
        upBitsPerSecond: link.up,
        downBitsPerSecond: link.down,
        roundTripMs,
      })),
      lans: [],
      peers: [],
    },
    planRequestFor(job),
    [{ microbatch: MICROBATCH, stages: counts.map((count, i) => ({ start: starts[i]!, end: starts[i]! + count, devices: [i], recompute: false })) }],
  );
  const outcome = await simulate({
    ...timingModel({ blocks, trainSamples: BATCH * LOCAL_STEPS * ROUNDS }),
    job,
    fleet: names.map((name, i) => ({
      name,
      samplesPerSecond: (devices[i]! * 1e12) / 24e9,
      overheadMs: 0,
      link: { upBitsPerSecond: link.up, downBitsPerSecond: link.down, rttMs: roundTripMs },
    })),
    seed: 1,
    serverBitsPerSecond: 1e12,
  });
  expect(outcome.verdict, outcome.verdict.reason).toMatchObject({ status: 'succeeded' });
  const commits = outcome.events.filter(({ body }) => body.event === 'commit').map(({ timeMs }) => timeMs);
  expect(commits).toHaveLength(ROUNDS);
  return { plannedMs: plan.roundMs, ms: commits[2]! - commits[1]! };
}

const slow = { up: 20e6, down: 100e6 };

test.each<Case>([
  { tied: 1e6, devices: [0.3, 0.3], blocks: [4, 4], link: slow },
  { tied: 4e6, devices: [0.3, 0.3], blocks: [4, 4], link: slow },
  { tied: 16e6, devices: [0.3, 0.3, 0.3], blocks: [3, 2, 3], link: slow },
  { tied: 4e6, devices: [0.3, 0.1], blocks: [6, 2], link: { up: 20e6, down: 20e6 } },
])('rounds of a pipeline that takes local steps, with $tied values at both ends of it, last as long as planned', async (given) => {
  const { plannedMs, ms } = await roundsOf(given);
  expect(plannedMs / ms).toBeGreaterThan(0.93);
  expect(plannedMs / ms).toBeLessThan(1.05);
  const { ms: without } = await roundsOf({ ...given, tied: 0 });
  expect(ms).toBeGreaterThan(1.5 * without);
});
