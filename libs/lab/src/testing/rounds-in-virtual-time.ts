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

interface Device {
  readonly teraflops: number;
  /** @default enough */
  readonly memoryBytes?: number;
}

export interface Case {
  /** As a job lays itself out, or what there is to lay it over. */
  readonly over: readonly Laid[] | { readonly devices: readonly Device[] };
  readonly link: { readonly up: number; readonly down: number };
  /** Devices reach each other directly, at the rates of their links. @default through the server */
  readonly direct?: boolean;
  /** Values that the first block and the last read. @default none */
  readonly tied?: number;
  /** Beside plain `diloco`. @default 4 local steps */
  readonly sync?: Partial<Job['sync']>;
  /** Rounds to look at, after the first ones. @default 1 */
  readonly rounds?: number;
}

/** Before their times are looked at. */
const FIRST_ROUNDS = 2;

/** `sync`: beside plain `diloco`. */
function jobOf(sync: Partial<Job['sync']>, cluster: Pick<Job['cluster'], 'minWorkers'> & Partial<Job['cluster']>): Job {
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
function eightBlocks(tied: readonly { readonly name: string; readonly parameters: number }[]): readonly BlockProfile[] {
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

/** Of rounds of local steps: what the server plans, and what the runtime takes in virtual time. Samples and milliseconds of a round. */
export async function roundsOf(given: Case): Promise<{ readonly plan: Plan; readonly ms: number; readonly samples: number }> {
  const { over, link, tied = 0, direct = false, sync = { localSteps: 4 }, rounds = 1 } = given;
  const profile = { name: 'rounds', inputBytes: 4, blocks: eightBlocks(tied === 0 ? [] : [{ name: 'table', parameters: tied }]) };
  const { devices, layout } = 'devices' in over ? { devices: over.devices.map((device, i) => named(`d${i}`, device)), layout: undefined } : laidOut(over);
  const job = jobOf(sync, { minWorkers: devices.length, microbatch: MICROBATCH, layout });
  const profiles = devices.map(({ id, teraflops, memoryBytes }): DeviceProfile => ({ id, name: id, flopsPerSecond: teraflops * 1e12, memoryBytes, upBitsPerSecond: link.up, downBitsPerSecond: link.down, roundTripMs: ROUND_TRIP_MS }));
  const pairs = direct ? devices.flatMap((a, i) => devices.slice(i + 1).map((b) => [a.id, b.id] as const)) : [];
  const peers = pairs.map((between) => ({ between, bitsPerSecond: Math.min(link.up, link.down), roundTripMs: ROUND_TRIP_MS, messageMs: ROUND_TRIP_MS / 2 }));
  const layoutOf = layoutBy('planned', profile, { machines: profiles.map((device) => ({ device })), peers }, 0);
  let plan: Plan | undefined;
  const run = (trainSamples: number) =>
    simulate({
      ...timingModel({ blocks: profile.blocks, trainSamples }),
      job,
      layout: (request) => {
        const asked = layoutOf(request);
        plan = asked.plan ?? plan;
        return asked;
      },
      fleet: devices.map(({ id, teraflops, memoryBytes }) => ({
        name: id,
        samplesPerSecond: (teraflops * 1e12) / (8 * FLOPS_A_BLOCK),
        overheadMs: 0,
        memoryBytes,
        link: { upBitsPerSecond: link.up, downBitsPerSecond: link.down, rttMs: ROUND_TRIP_MS },
        ...(direct && { peers: 'listens' as const }),
      })),
      seed: 1,
      serverBitsPerSecond: 1e12,
    });
  await run(BATCH);
  // In the last round there may be samples for fewer steps.
  const outcome = await run(Math.round((FIRST_ROUNDS + rounds + 1) * plan!.samplesPerRound));
  expect(outcome.verdict, outcome.verdict.reason).toMatchObject({ status: 'succeeded' });
  const commits = outcome.events.flatMap(({ body, timeMs }) => (body.event === 'commit' ? [{ timeMs, samples: body.samples }] : []));
  const [before, ...looked] = commits.slice(FIRST_ROUNDS - 1, FIRST_ROUNDS + rounds);
  expect(looked).toHaveLength(rounds);
  return { plan: plan!, ms: (looked.at(-1)!.timeMs - before!.timeMs) / rounds, samples: looked.reduce((sum, commit) => sum + commit.samples, 0) / rounds };
}

type Named = Required<Device> & { readonly id: string };

function named(id: string, { teraflops, memoryBytes = 1e12 }: Device): Named {
  return { id, teraflops, memoryBytes };
}

function laidOut(groups: readonly Laid[]): { readonly devices: readonly Named[]; readonly layout: readonly (readonly JobStage[])[] } {
  const devices: Named[] = [];
  const layout = groups.map(({ blocks, teraflops }, g) =>
    teraflops.map((stage, s): JobStage => {
      const crew = stage.map((speed, i) => named(`d${g}${s}${i}`, { teraflops: speed }));
      devices.push(...crew);
      const workers = crew.map(({ id }) => id);
      return blocks.length === 1 ? { workers } : { workers, blocks: blocks[s]! };
    }),
  );
  return { devices, layout };
}
