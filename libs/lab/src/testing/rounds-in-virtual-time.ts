import type { BlockProfile, DeviceProfile, Job, JobStage, Plan } from '@longtail/core';
import { simulate, timingModel } from '@longtail/simulator';
import { expect } from 'vitest';
import { layoutBy } from '../layouts.js';

const BATCH = 32;
const MICROBATCH = 4;
const ROUND_TRIP_MS = 20;
const FLOPS_A_BLOCK = 3e9;

/** Of a group: blocks of each stage, of 8, and TFLOP/s of the devices that hold it. */
interface Laid {
  readonly blocks: readonly number[];
  readonly teraflops: readonly (readonly number[])[];
}

export interface Case {
  readonly groups: readonly Laid[];
  readonly link: { readonly up: number; readonly down: number };
  /** Devices reach each other directly, at the rates of their links. @default through the server */
  readonly direct?: boolean;
  /** Values that the first block and the last read. @default none */
  readonly tied?: number;
  /** Beside plain `diloco`. @default 4 local steps */
  readonly sync?: Partial<Job['sync']>;
  /** Rounds that are looked at: these, of so many. @default the last of 3 */
  readonly rounds?: { readonly all: number; readonly looked: number };
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
    forwardFlops: FLOPS_A_BLOCK / 3,
    backwardFlops: (2 * FLOPS_A_BLOCK) / 3,
    outputBytes: 4000,
    stashBytes: 4000,
    cutAfter: true,
  }));
}

/** Of rounds of groups that a job lays out: what the server plans, and what the runtime takes in virtual time. Samples and milliseconds of a round. */
export async function roundsOf(given: Case): Promise<{ readonly plan: Plan; readonly ms: number; readonly samples: number }> {
  const { groups, link, tied = 0, direct = false, sync = { localSteps: 4 }, rounds = { all: 3, looked: 1 } } = given;
  const profile = { name: 'rounds', inputBytes: 4, blocks: eightBlocks(tied === 0 ? [] : [{ name: 'table', parameters: tied }]) };
  const devices: DeviceProfile[] = [];
  const layout = groups.map(({ blocks, teraflops }, g) =>
    teraflops.map((stage, s): JobStage => {
      const workers = stage.map((speed, i) => {
        const id = `d${g}${s}${i}`;
        devices.push({ id, name: id, flopsPerSecond: speed * 1e12, memoryBytes: 1e12, upBitsPerSecond: link.up, downBitsPerSecond: link.down, roundTripMs: ROUND_TRIP_MS });
        return id;
      });
      return blocks.length === 1 ? { workers } : { workers, blocks: blocks[s]! };
    }),
  );
  const job = jobOf(sync, { minWorkers: devices.length, microbatch: MICROBATCH, layout });
  const peers = !direct
    ? []
    : devices.flatMap((a, i) =>
        devices.slice(i + 1).map((b) => ({ between: [a.id, b.id] as const, bitsPerSecond: Math.min(link.up, link.down), roundTripMs: ROUND_TRIP_MS, messageMs: ROUND_TRIP_MS / 2 })),
      );
  let plan: Plan | undefined;
  const asked = layoutBy('planned', profile, { machines: devices.map((device) => ({ device })), peers }, 0);
  const run = (trainSamples: number) =>
    simulate({
      ...timingModel({ blocks: profile.blocks, trainSamples }),
      job,
      layout: (request) => {
        const laidOut = asked(request);
        plan = laidOut.plan ?? plan;
        return laidOut;
      },
      fleet: devices.map(({ id, flopsPerSecond }) => ({
        name: id,
        samplesPerSecond: flopsPerSecond / (8 * FLOPS_A_BLOCK),
        overheadMs: 0,
        link: { upBitsPerSecond: link.up, downBitsPerSecond: link.down, rttMs: ROUND_TRIP_MS },
        ...(direct && { peers: 'listens' as const }),
      })),
      seed: 1,
      serverBitsPerSecond: 1e12,
    });
  await run(BATCH);
  const outcome = await run(Math.round(rounds.all * plan!.samplesPerRound));
  expect(outcome.verdict, outcome.verdict.reason).toMatchObject({ status: 'succeeded' });
  const commits = outcome.events.flatMap(({ body, timeMs }) => (body.event === 'commit' ? [{ timeMs, samples: body.samples }] : []));
  expect(commits.length).toBeGreaterThanOrEqual(rounds.all);
  const looked = commits.slice(rounds.all - rounds.looked, rounds.all);
  const samples = looked.reduce((sum, commit) => sum + commit.samples, 0) / rounds.looked;
  return { plan: plan!, ms: (looked.at(-1)!.timeMs - commits[rounds.all - rounds.looked - 1]!.timeMs) / rounds.looked, samples };
}
