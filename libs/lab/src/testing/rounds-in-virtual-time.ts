import type { BlockProfile, Job } from '@longtail/core';
import { planLayout, planRequestFor } from '@longtail/planner';
import { simulate, timingModel } from '@longtail/simulator';
import { expect } from 'vitest';

const BATCH = 32;
const LOCAL_STEPS = 4;
const ROUNDS = 3;
const MICROBATCH = 4;

export interface Case {
  /** Values that the first stage and the last read. */
  readonly tied: number;
  /** TFLOP/s of each stage's devices. */
  readonly devices: readonly number[];
  /** How many devices each stage has. @default one */
  readonly replicas?: readonly number[];
  /** Blocks of each stage, of 8. */
  readonly blocks: readonly number[];
  readonly link: { readonly up: number; readonly down: number };
}

/** `sync`: beside plain `diloco`. */
export function jobOf(sync: Partial<Job['sync']>, cluster: Pick<Job['cluster'], 'minWorkers'> & Partial<Job['cluster']>): Job {
  return {
    name: 'rounds',
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
    sync: { strategy: 'diloco', deadlineFactor: 10, minDeadlineMs: 1e7, codec: 'fp32', maxNorm: undefined, ...sync },
    cluster: { waitMs: 10_000, engine: undefined, ...cluster },
    checkpoint: { everyMs: 1e9 },
  };
}

/** `tied`: what the first and the last read. */
export function eightBlocks(tied: readonly { readonly name: string; readonly parameters: number }[]): readonly BlockProfile[] {
  return Array.from({ length: 8 }, (_, i) => ({
    name: `block${i}`,
    parameters: 100_000,
    tied: i === 0 || i === 7 ? tied : [],
    forwardFlops: 1e9,
    backwardFlops: 2e9,
    outputBytes: 4000,
    stashBytes: 4000,
    cutAfter: true,
  }));
}

/** Of a round of a pipeline that takes local steps: what the plan says, and what the runtime takes in virtual time. */
export async function roundsOf(given: Case): Promise<{ readonly plannedMs: number; readonly ms: number }> {
  const { devices: paces, blocks: counts, link, replicas = counts.map(() => 1) } = given;
  const blocks = eightBlocks([{ name: 'table', parameters: given.tied }]);
  const devices = replicas.flatMap((count, stage) => Array.from({ length: count }, (_, i) => ({ id: `d${stage}${i}`, stage, flopsPerSecond: paces[stage]! * 1e12 })));
  const holders = counts.map((_, stage) => devices.flatMap((device, i) => (device.stage === stage ? [i] : [])));
  const starts = counts.map((_, i) => counts.slice(0, i).reduce((sum, count) => sum + count, 0));
  const layout = [counts.map((count, stage) => ({ workers: holders[stage]!.map((i) => devices[i]!.id), blocks: count }))];
  const job = jobOf({ localSteps: LOCAL_STEPS }, { minWorkers: devices.length, microbatch: MICROBATCH, layout });
  const roundTripMs = 20;
  const direct = replicas.some((count) => count > 1);
  const pairs = direct ? devices.flatMap((a, i) => devices.slice(i + 1).map((b) => [a.id, b.id] as const)) : [];
  const plan = planLayout(
    { name: 'tied', inputBytes: 4, blocks },
    {
      devices: devices.map(({ id, flopsPerSecond }) => ({ id, name: id, flopsPerSecond, memoryBytes: 1e12, upBitsPerSecond: link.up, downBitsPerSecond: link.down, roundTripMs })),
      lans: [],
      peers: pairs.map((between) => ({ between, bitsPerSecond: Math.min(link.up, link.down), roundTripMs, messageMs: roundTripMs / 2 })),
    },
    planRequestFor(job),
    [{ microbatch: MICROBATCH, stages: counts.map((count, i) => ({ start: starts[i]!, end: starts[i]! + count, devices: holders[i]!, recompute: false })) }],
  );
  const outcome = await simulate({
    ...timingModel({ blocks, trainSamples: BATCH * LOCAL_STEPS * ROUNDS }),
    job,
    fleet: devices.map(({ id, flopsPerSecond }) => ({
      name: id,
      samplesPerSecond: flopsPerSecond / 24e9,
      overheadMs: 0,
      link: { upBitsPerSecond: link.up, downBitsPerSecond: link.down, rttMs: roundTripMs },
      ...(direct && { peers: 'listens' as const }),
    })),
    seed: 1,
    serverBitsPerSecond: 1e12,
  });
  expect(outcome.verdict, outcome.verdict.reason).toMatchObject({ status: 'succeeded' });
  const commits = outcome.events.filter(({ body }) => body.event === 'commit').map(({ timeMs }) => timeMs);
  expect(commits).toHaveLength(ROUNDS);
  return { plannedMs: plan.roundMs, ms: commits[2]! - commits[1]! };
}
