import { createRng, type Rng } from '@longtail/core';
import { expect, test } from 'vitest';
import type { Fault } from './faults.js';
import { simulate, type Outcome, type Scenario } from './simulate.js';
import { countingArithmetic, countingPipeline } from './testing/counting.js';
import { eventsOf, job } from './testing/scenarios.js';

const SEEDS = 60;
const SEEDS_A_TEST = 20;
const SAMPLES = 160;
const BLOCKS = 5;
const EPOCHS = 3;

/** A pipeline of three stages, one of which may have a replica, one of two, a solo worker and spares, that break and come back at random. */
function chaos(seed: number): Scenario {
  const rng = createRng(`pipelines/${seed}`);
  const fleet = Array.from({ length: 9 }, (_, i) => ({
    name: `w${i}`,
    samplesPerSecond: 50 + rng.below(800),
    joinAtMs: rng.below(3) === 0 ? rng.below(1500) : 0,
    link: { upBitsPerSecond: 1e5 * (1 + rng.below(100)), downBitsPerSecond: 1e6, rttMs: 1 + rng.below(80) },
  }));
  const withReplica = rng.below(4);
  const three = [2, 2, 1].map((blocks, i) => ({ workers: i === withReplica ? [`w${i}`, 'w6'] : [`w${i}`], blocks }));
  /** Every third seed: two stages on each worker of a pipeline. */
  const inTurn = seed % 3 === 0;
  const turns = (names: readonly string[], blocks: readonly number[]) => blocks.map((count, i) => ({ workers: [names[i % names.length]!], blocks: count }));
  const two = [1, 4].map((blocks, i) => ({ workers: [`w${3 + i}`], blocks }));
  const pipelines = inTurn ? [turns(['w0', 'w1'], [1, 1, 2, 1]), turns(['w3', 'w4'], [2, 1, 1, 1])] : [three, two];
  const layout = rng.below(3) === 0 ? pipelines.slice(0, 1) : [...pipelines, [{ workers: ['w5'] }]];
  const faults = Array.from({ length: rng.below(8) }, () => randomFault(rng));
  const plain = (['gpipe', '1f1b', 'capped-1f1b', 'zero-bubble'] as const)[rng.below(4)]!;
  const schedule = inTurn ? 'interleaved' : plain;
  return {
    job: job({
      train: { epochs: EPOCHS, batch: 16 + rng.below(40), optimizer: { type: 'sgd', momentum: 0.9, nesterov: false, weightDecay: 0 } },
      sync: { minDeadlineMs: 200 + rng.below(400) },
      cluster: { minWorkers: new Set(layout.flat().flatMap(({ workers }) => workers)).size, waitMs: 8000, layout, schedule, microbatch: 1 + rng.below(9) },
      validation: { everyEpochs: 0.5 + rng.uniform() },
      checkpoint: { everyMs: 200 },
    }),
    model: countingPipeline(SAMPLES, 30, BLOCKS),
    arithmetic: countingArithmetic,
    fleet,
    faults,
    seed,
    chunkLength: 64,
  };
}

function randomFault(rng: Rng): Fault {
  const worker = `w${rng.below(7)}`;
  const atMs = 300 + rng.below(4000);
  switch (rng.below(7)) {
    case 0:
      return { kind: 'cut', worker, atMs };
    case 1:
      return { kind: 'stall', worker, atMs, forMs: rng.below(9000) };
    case 2:
      return { kind: rng.below(2) === 0 ? 'kill' : 'leave', worker, atMs };
    case 3:
      return { kind: 'slow', worker, atMs, forMs: rng.below(3000), factor: 2 + rng.below(100) };
    case 4:
      return { kind: 'fail', worker, atMs };
    case 5: {
      const how = (['duplicate', 'corrupt', 'nan', 'stale', 'wrong-task'] as const)[rng.below(5)]!;
      return { kind: 'tamper', worker, round: 1 + rng.below(20), chunk: rng.below(2), how };
    }
    default:
      return { kind: 'slow', worker, atMs, forMs: 500, factor: 1e4 };
  }
}

const firstSeeds = Array.from({ length: SEEDS / SEEDS_A_TEST }, (_, i) => 1 + i * SEEDS_A_TEST);

test.each(firstSeeds)(
  'every sample reaches every block exactly once, whichever stages come and go (seeds from %i)',
  async (from) => {
    let succeeded = 0;
    let relaid = 0;
    for (let seed = from; seed < from + SEEDS_A_TEST; seed++) {
      const outcome = await simulate(chaos(seed)).catch((error: unknown) => {
        throw new Error(`seed ${seed}: ${String(error)}`, { cause: error });
      });
      expectExactlyOnce(outcome, `seed ${seed}, ${outcome.verdict.status}: ${outcome.verdict.reason}`);
      if (outcome.verdict.status === 'succeeded') succeeded++;
      if (eventsOf(outcome.events, 'layout').some((_, i, all) => i > 0 && all[i - 1]!.groups.length > 0)) relaid++;
    }
    expect(succeeded).toBeGreaterThan(SEEDS_A_TEST / 2);
    expect(relaid).toBeGreaterThan(SEEDS_A_TEST / 4);
  },
  240_000,
);

function expectExactlyOnce({ verdict, events, leases, parameters }: Outcome, where: string): void {
  const { applied, lost, leased, free, total } = leases;
  expect(applied + lost + free, where).toBe(total);
  expect(leased, where).toBe(0);
  for (let block = 0; block < BLOCKS && parameters.length > 0; block++) {
    const counts = [...parameters.subarray(block * SAMPLES, (block + 1) * SAMPLES)];
    expect(
      counts.reduce((sum, count) => sum + count, 0),
      `${where}, block ${block}`,
    ).toBe(applied);
    expect(Math.max(...counts), where).toBeLessThanOrEqual(EPOCHS);
    if (verdict.status === 'succeeded') expect(new Set(counts), where).toEqual(new Set([EPOCHS]));
  }
  const committed = eventsOf(events, 'commit').reduce((sum, { samples }) => sum + samples, 0);
  const accepted = eventsOf(events, 'contribution').filter((event) => event.accepted && (event.stage?.stage ?? 0) === 0);
  expect([committed, accepted.reduce((sum, { samples }) => sum + samples, 0), verdict.samples.applied], where).toEqual([applied, applied, applied]);
  expect(eventsOf(events, 'verdict'), where).toHaveLength(1);
  expect(events.at(-1)!.body.event, where).toBe('verdict');
}
