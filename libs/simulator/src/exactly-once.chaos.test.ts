import { createRng, fragmentsOf, localStepsOf, type Job, type Lease, type Rng } from '@longtail/core';
import { epochOrder } from '@longtail/data';
import { expect, test } from 'vitest';
import type { Fault } from './faults.js';
import { simulate, type Outcome, type Scenario } from './simulate.js';
import { countingArithmetic, countingModel } from './testing/counting.js';
import { eventsOf, job } from './testing/scenarios.js';

const SEEDS = 200;
const SEEDS_A_TEST = 50;
const SAMPLES = 240;
const EPOCHS = 3;

const BSP: Partial<Job['sync']> = { strategy: 'bsp' };
const OTHERS: readonly Partial<Job['sync']>[] = [
  { strategy: 'bsp', quorum: 0.5, graceMs: 20 },
  { strategy: 'ssp', staleness: 1 },
  { strategy: 'asp' },
  { strategy: 'diloco', localSteps: 4, quorum: 0.75, graceMs: 50 },
  { strategy: 'streaming-diloco', localSteps: 4, fragments: 1, mixing: 0, quorum: 0.75, graceMs: 50 },
  { strategy: 'streaming-diloco', localSteps: 4, fragments: 3, mixing: 0 },
  { strategy: 'streaming-diloco', localSteps: 6, fragments: 3, mixing: 0, quorum: 0.5, graceMs: 20 },
  { strategy: 'ssp', staleness: 1, localSteps: 3 },
  { strategy: 'asp', localSteps: 3 },
];

/** A fleet that joins, leaves, breaks and comes back at random. The first worker stays, so that most runs succeed. */
function chaos(seed: number, sync: Partial<Job['sync']>): Scenario {
  const rng = createRng(`chaos/${seed}`);
  const fleet = Array.from({ length: 1 + rng.below(4) }, (_, i) => ({
    name: `w${i}`,
    samplesPerSecond: 50 + rng.below(800),
    joinAtMs: rng.below(3) === 0 ? rng.below(4000) : 0,
    link: { upBitsPerSecond: 1e5 * (1 + rng.below(100)), downBitsPerSecond: 1e6, rttMs: 1 + rng.below(80) },
  }));
  const faults = Array.from({ length: rng.below(8) }, () =>
    randomFault(
      rng,
      fleet.map(({ name }) => name),
    ),
  );
  const momentum = { type: 'sgd', momentum: 0.9, nesterov: false, weightDecay: 0 } as const;
  return {
    job: job({
      train: { epochs: EPOCHS, batch: 16 + rng.below(40), optimizer: momentum },
      sync: { ...sync, minDeadlineMs: 100 + rng.below(400) },
      cluster: { waitMs: 8000 },
      validation: { everyEpochs: 0.5 + rng.uniform() },
      checkpoint: { everyMs: 200 },
    }),
    model: countingModel(SAMPLES, 50, fragmentsOf(sync as Job['sync'])),
    arithmetic: countingArithmetic,
    fleet,
    faults,
    seed,
    chunkLength: 64,
  };
}

function randomFault(rng: Rng, workers: readonly string[]): Fault {
  const worker = workers[rng.below(workers.length)]!;
  const atMs = rng.below(5000);
  const mortal = worker === 'w0' ? 'cut' : (['kill', 'leave'] as const)[rng.below(2)]!;
  switch (rng.below(7)) {
    case 0:
      return { kind: 'cut', worker, atMs };
    case 1:
      return { kind: 'stall', worker, atMs, forMs: rng.below(9000) };
    case 2:
      return { kind: mortal, worker, atMs };
    case 3:
      return { kind: 'slow', worker, atMs, forMs: rng.below(3000), factor: 2 + rng.below(100) };
    case 4:
      return { kind: 'fail', worker, atMs };
    case 5:
      return {
        kind: 'tamper',
        worker,
        round: 1 + rng.below(20),
        chunk: rng.below(4),
        how: (['duplicate', 'corrupt', 'nan', 'stale', 'wrong-task'] as const)[rng.below(5)]!,
      };
    default:
      return { kind: 'slow', worker, atMs, forMs: 500, factor: 1e4 };
  }
}

/** How often each sample is in these leases. */
function countsOf(leases: readonly Lease[], { train }: Job): readonly number[] {
  const counts = new Array<number>(SAMPLES).fill(0);
  for (const range of leases.flatMap(({ ranges }) => ranges)) {
    for (const sample of epochOrder(SAMPLES, train.seed, range.epoch).indices(range)) counts[sample]!++;
  }
  return counts;
}

/** Of each parameter that is not as often applied as its sample was, or more often than that and lost. */
function miscounted({ parameters, ledger, lost }: Outcome, job: Job): readonly string[] {
  // What moves the parameters up is a move down, base − new.
  const sign = localStepsOf(job.sync) === undefined ? 1 : -1;
  const least = countsOf(
    ledger.flatMap(({ leases }) => leases),
    job,
  );
  const more = countsOf(lost, job);
  return [...parameters].flatMap((value, i) => {
    const sample = i % SAMPLES;
    const [count, from, to] = [sign * value, least[sample]!, least[sample]! + more[sample]!];
    return count >= from && count <= to ? [] : [`sample ${sample}, copy ${(i - sample) / SAMPLES}: ${count} times instead of ${from} to ${to}`];
  });
}

const firstSeeds = Array.from({ length: SEEDS / SEEDS_A_TEST }, (_, i) => 1 + i * SEEDS_A_TEST);
const cases = [...firstSeeds.map((from) => [BSP, from] as const), ...OTHERS.map((sync) => [sync, 1] as const)];

test.each(cases)(
  'every sample is applied exactly once, whoever comes and goes (%j, seeds from %i)',
  async (sync, from) => {
    let succeeded = 0;
    let fired = 0;
    let lostSamples = 0;
    for (let seed = from; seed < from + SEEDS_A_TEST; seed++) {
      const scenario = chaos(seed, sync);
      const outcome = await simulate(scenario).catch((error: unknown) => {
        throw new Error(`seed ${seed}: ${String(error)}`, { cause: error });
      });
      const where = `seed ${seed}, ${outcome.verdict.status}: ${outcome.verdict.reason}`;
      const { applied, lost, leased, free, total } = outcome.leases;
      expect(applied + lost + free, where).toBe(total);
      expect(leased, where).toBe(0);
      expect(miscounted(outcome, scenario.job), where).toEqual([]);
      const committed = eventsOf(outcome.events, 'commit').reduce((sum, { samples }) => sum + samples, 0);
      const accepted = eventsOf(outcome.events, 'contribution').reduce((sum, event) => sum + (event.accepted ? event.samples : 0), 0);
      const reported = eventsOf(outcome.events, 'samples_lost');
      expect([committed, accepted], where).toEqual([applied + lost, applied + lost]);
      expect(outcome.verdict.samples, where).toEqual({ applied, lost });
      expect(reported.reduce((sum, { samples }) => sum + samples, 0), where).toBe(lost);
      expect(reported.filter(({ reason }) => reason === ''), where).toEqual([]);
      expect(eventsOf(outcome.events, 'verdict'), where).toHaveLength(1);
      expect(outcome.events.at(-1)!.body.event, where).toBe('verdict');
      if (outcome.verdict.status === 'succeeded') {
        expect(applied + lost, where).toBe(total);
        succeeded++;
      }
      fired += outcome.fired.size;
      lostSamples += lost;
    }
    expect(succeeded).toBeGreaterThan(SEEDS_A_TEST / 2);
    expect(fired).toBeGreaterThan(SEEDS_A_TEST);
    // Only a group that holds steps which are in some fragments and not in others has anything to lose.
    expect(lostSamples > 0).toBe((fragmentsOf(sync as Job['sync']) ?? 1) > 1);
  },
  120_000,
);
