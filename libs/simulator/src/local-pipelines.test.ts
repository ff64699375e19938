import { createRng, type Job, type JobStage } from '@longtail/core';
import { expect, test } from 'vitest';
import type { Fault } from './faults.js';
import type { Outcome } from './scenario.js';
import { simulate } from './simulate.js';
import { fleet, model, pipelined, randomLayout, randomWorkers, relativeDistance, three } from './testing/pipelined.js';
import { eventsOf } from './testing/scenarios.js';

const diloco: Partial<Job['sync']> = { strategy: 'diloco', localSteps: 5 };
const optimizers: readonly Job['train']['optimizer'][] = [
  { type: 'sgd', momentum: 0.9, nesterov: true, weightDecay: 0.01 },
  { type: 'adam', beta1: 0.9, beta2: 0.99, epsilon: 1e-8, weightDecay: 0.01, decoupled: true },
];

/** The same training by a worker that holds the whole model. */
async function alone({ train, sync }: Job): Promise<Outcome> {
  return simulate(pipelined([[{ workers: ['s'] }]], { train, sync }, { fleet: fleet('s') }));
}

/** All samples applied once; the members of each group come home together, with the same number of steps. */
function expectWholeGroups({ events, verdict }: Outcome, applied: number): void {
  expect(verdict, verdict.reason).toMatchObject({ status: 'succeeded', samples: { applied, lost: 0 } });
  const contributions = eventsOf(events, 'contribution').filter(({ accepted }) => accepted);
  for (const { round, stage, samples } of contributions.filter(({ stage }) => stage?.stage === 0)) {
    const group = contributions.filter((one) => one.round === round && one.stage?.group === stage!.group);
    expect(new Set(group.map(({ stage }) => stage!.stage)).size).toBe(stage!.stages);
    for (const one of group) expect(one.samples).toBe(samples);
  }
}

test.each([1, 9])('random layouts, schedules, links, optimizers and clipping: H steps of a pipeline are those of a solo worker (seeds from %i)', async (from) => {
  for (let seed = from; seed < from + 8; seed++) {
    const rng = createRng(`local steps/${seed}`);
    const schedule = (['gpipe', '1f1b', 'capped-1f1b', 'zero-bubble', 'interleaved', 'interleaved'] as const)[rng.below(6)]!;
    const layout = randomLayout(rng, 1, schedule === 'interleaved');
    const cluster = { schedule, microbatch: 1 + rng.below(20) };
    const clipNorm = rng.below(2) === 0 ? 0.5 : undefined;
    const train = { epochs: 2, batch: 20 + rng.below(30), clipNorm, optimizer: optimizers[rng.below(2)]!, learningRate: 0.02 };
    const run = pipelined(layout, { cluster, train, sync: { ...diloco, minDeadlineMs: 5000 } }, { fleet: randomWorkers(rng, layout), seed });
    const outcome = await simulate(run).catch((error: unknown) => {
      throw new Error(`seed ${seed}: ${String(error)}`, { cause: error });
    });
    expect(outcome.verdict, `seed ${seed}: ${outcome.verdict.reason}`).toMatchObject({ status: 'succeeded', samples: { applied: 2 * model.trainSamples } });
    expect(eventsOf(outcome.events, 'contribution').filter(({ accepted }) => !accepted), `seed ${seed}`).toEqual([]);
    expect(relativeDistance(outcome.parameters, (await alone(run.job)).parameters), `seed ${seed}`).toBeLessThan(1e-5);
  }
}, 120_000);

const two: readonly JobStage[] = [
  { workers: ['d'], blocks: 4 },
  { workers: ['e'], blocks: 2 },
];

test('pipelines and solo workers take as many steps as each can in a round, and all learn', async () => {
  const run = pipelined([three, two, [{ workers: ['f'] }]], { train: { epochs: 24, batch: 20, learningRate: 0.02 }, sync: diloco });
  const outcome = await simulate(run);
  expectWholeGroups(outcome, 24 * model.trainSamples);
  const losses = eventsOf(outcome.events, 'validation').map(({ loss }) => loss);
  expect(losses.at(-1)).toBeLessThan(0.2 * losses[0]!);
  const steps = eventsOf(outcome.events, 'shares').at(-1)!;
  expect(steps.unit).toBe('local steps');
  expect(new Set(Object.values(steps.shares)).size).toBeGreaterThan(1);
});

test('a pipeline whose stage slows down is called home: all stages end with the same step, and what they did counts', async () => {
  const slow: Fault = { kind: 'slow', worker: 'b', atMs: 900, forMs: 4000, factor: 8 };
  const run = pipelined([three, [{ workers: ['d'] }]], { train: { epochs: 20, batch: 20 }, sync: { strategy: 'diloco', localSteps: 10 } }, { fleet: fleet('abcd'), faults: [slow] });
  const outcome = await simulate(run);
  expect(outcome.fired).toContain(slow);
  expectWholeGroups(outcome, 20 * model.trainSamples);
  const early = eventsOf(outcome.events, 'contribution').filter(({ reason, accepted }) => accepted && reason === 'called home early');
  expect(early.slice(0, 3).map(({ name }) => name)).toEqual(['a', 'b', 'c']);
  expect(eventsOf(outcome.events, 'lease_returned').some(({ reason }) => reason === 'called home early')).toBe(true);
});

const replicated = three.map((stage, i) => (i === 1 ? { ...stage, workers: ['b', 'e'] } : stage));
const threefold = three.map((stage, i) => (i === 1 ? { ...stage, workers: ['b', 'e', 'f'] } : stage));
const lost: readonly (readonly [Extract<Fault, { worker: string; atMs: number }>, readonly JobStage[]])[] = [
  [{ kind: 'kill', worker: 'a', atMs: 420 }, three],
  [{ kind: 'leave', worker: 'b', atMs: 420 }, three],
  [{ kind: 'kill', worker: 'c', atMs: 420 }, three],
  [{ kind: 'fail', worker: 'c', atMs: 420 }, three],
  [{ kind: 'kill', worker: 'e', atMs: 420 }, replicated],
  ...[430, 437, 444, 451].map((atMs) => [{ kind: 'kill', worker: 'f', atMs }, threefold] as const),
];

test.each(lost)('a worker that is lost in the midst of local steps (%o): its group’s samples go back once, and a spare takes its place', async (fault, layout) => {
  const workers = layout === three ? 'abcd' : 'abcefdg';
  const run = pipelined([layout], { train: { epochs: 6, batch: 20, learningRate: 0.02 }, sync: diloco }, { fleet: fleet(workers), faults: [fault] });
  const outcome = await simulate(run);
  expect(outcome.fired).toContain(fault);
  expect(outcome.verdict, outcome.verdict.reason).toMatchObject({ status: 'succeeded', samples: { applied: 6 * model.trainSamples, lost: 0 } });
  const refused = eventsOf(outcome.events, 'contribution').filter(({ accepted }) => !accepted);
  expect(refused.map(({ name }) => name).sort()).toEqual(layout.flatMap(({ workers }) => workers).sort());
  expect(eventsOf(outcome.events, 'lease_returned')).toHaveLength(1);
  const losses = eventsOf(outcome.events, 'validation').map(({ loss }) => loss);
  expect(losses.at(-1)).toBeLessThan(0.8 * losses[0]!);
});

test('of replicas the one with the fastest uplink brings home what all have', async () => {
  const link = { upBitsPerSecond: 2e7, downBitsPerSecond: 1e9, rttMs: 10 };
  const workers = fleet('abcef').map((worker) => ({ ...worker, prepareMs: 3000, link: worker.name === 'e' ? { ...link, upBitsPerSecond: 2e8 } : link }));
  const senders = new Set<string>();
  const run = pipelined([threefold], { train: { epochs: 2, batch: 20 }, sync: diloco }, { fleet: workers, probeBytes: 2 ** 20, sent: (node, { header }) => void (header.kind === 'gradient' && senders.add(node)) });
  const { events, verdict } = await simulate(run);
  expect(verdict, verdict.reason).toMatchObject({ status: 'succeeded', samples: { applied: 2 * model.trainSamples } });
  const names = new Map(eventsOf(events, 'contribution').map(({ node, name }) => [node, name]));
  expect([...senders].map((node) => names.get(node)).sort()).toEqual(['a', 'c', 'e']);
});
