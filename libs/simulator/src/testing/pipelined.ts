import type { Job, JobStage, Rng, SampleRange } from '@longtail/core';
import { epochOrder } from '@longtail/data';
import { createOptimizer, learningRateAt } from '@longtail/kernels';
import { expect } from 'vitest';
import { chain } from '../chain.js';
import type { Outcome, Scenario, SimulatedWorker } from '../scenario.js';
import { eventsOf, job, scenario, type JobChanges } from './scenarios.js';

export const model = chain({ features: 6, width: 5, blocks: 6, trainSamples: 240, validationSamples: 40, seed: 11 });

export const fleet = (names: string): readonly SimulatedWorker[] => [...names].map((name, i) => ({ name, samplesPerSecond: 1000 - 100 * i }));

export function workersOf(layout: readonly (readonly JobStage[])[]): readonly string[] {
  return [...new Set(layout.flat().flatMap(({ workers }) => workers.map(String)))];
}

export function pipelined(layout: readonly (readonly JobStage[])[], changes: JobChanges = {}, rest: Partial<Scenario> = {}): Scenario {
  const cluster = { minWorkers: workersOf(layout).length, layout, microbatch: 7, ...changes.cluster };
  return scenario({ ...base, job: job({ ...changes, cluster }), ...rest });
}

export const base = { model, fleet: fleet('abcdef') };
export const three: readonly JobStage[] = [
  { workers: ['a'], blocks: 2 },
  { workers: ['b'], blocks: 3 },
  { workers: ['c'], blocks: 1 },
];

/** Groups of up to four stages, some of them with up to three replicas, or interleaved of up to three workers with two or three stages each. */
export function randomLayout(rng: Rng, groups: number, interleaved: boolean): readonly (readonly JobStage[])[] {
  let names = 0;
  const crew = (count: number) => Array.from({ length: count }, () => `w${names++}`);
  return Array.from({ length: groups }, () => {
    const plain = 1 + rng.below(4);
    const turns = rng.below(4) === 0 ? undefined : { workers: crew(2 + rng.below(2)), chunks: 2 + rng.below(2) };
    const stages = !interleaved ? plain : turns === undefined ? 1 : Math.min(model.blocks!.count, turns.workers.length * turns.chunks);
    const cuts = [...Array.from({ length: model.blocks!.count - 1 }, (_, i) => i + 1)].sort(() => rng.uniform() - 0.5);
    const borders = [0, ...cuts.slice(0, stages - 1).sort((a, b) => a - b), model.blocks!.count];
    return Array.from({ length: stages }, (_, i) => {
      const replicas = stages > 1 && rng.below(3) === 0 ? 2 + rng.below(2) : 1;
      const workers = interleaved && turns !== undefined ? [turns.workers[i % turns.workers.length]!] : crew(replicas);
      return { workers, blocks: borders[i + 1]! - borders[i]! };
    });
  });
}

export function randomWorkers(rng: Rng, layout: readonly (readonly JobStage[])[]): readonly SimulatedWorker[] {
  return workersOf(layout).map((name) => ({
    name,
    samplesPerSecond: 100 + rng.below(2000),
    overheadMs: rng.uniform(),
    link: { upBitsPerSecond: 1e6 * (1 + rng.below(50)), downBitsPerSecond: 1e7, rttMs: 1 + rng.below(60) },
    peers: (['listens', 'dials', undefined] as const)[rng.below(3)],
  }));
}

/** Positions of a run's shuffled epochs, batch by batch, as one machine visits them. */
export function batchesInOrder({ train }: Job, { trainSamples } = model): readonly (readonly SampleRange[])[] {
  const total = train.epochs * trainSamples;
  return Array.from({ length: Math.ceil(total / train.batch) }, (_, step) => {
    const from = step * train.batch;
    return Array.from({ length: Math.min(train.batch, total - from) }, (_, i) => {
      const start = (from + i) % trainSamples;
      return { epoch: Math.floor((from + i) / trainSamples), start, end: start + 1 };
    });
  });
}

/** The batches that a run applied, in its order: each local step is one of its own. */
export function batchesOf({ ledger }: Outcome): readonly (readonly SampleRange[])[] {
  return ledger.flatMap(({ local, leases }) => (local ? leases.map(({ ranges }) => ranges) : [leases.flatMap(({ ranges }) => ranges)]));
}

/** The same training on one machine, without Longtail: each sample counts the same, whether or not its batch is whole. */
export function trainAlone({ train }: Job, batches: readonly (readonly SampleRange[])[], learner = model): { parameters: Float32Array; losses: number[] } {
  const parameters = learner.initial(train.seed);
  const optimizer = createOptimizer({ length: parameters.length, optimizer: train.optimizer, implementation: 'reference' });
  const steps = Math.ceil((train.epochs * learner.trainSamples) / train.batch);
  const losses: number[] = [];
  let applied = 0;
  for (const ranges of batches) {
    const samples = ranges.flatMap((range) => [...epochOrder(learner.trainSamples, train.seed, range.epoch).indices(range)]);
    const gradient = new Float32Array(parameters.length);
    const stats = learner.gradient(parameters, Int32Array.from(samples), gradient) as { lossSum: number };
    losses.push(stats.lossSum / samples.length);
    const learningRate = learningRateAt(train.schedule, train.learningRate, Math.floor(applied / train.batch), steps) * Math.min(1, samples.length / train.batch);
    optimizer.step(
      parameters,
      gradient.map((value) => value / samples.length),
      { learningRate },
    );
    applied += samples.length;
  }
  return { parameters, losses };
}

export function relativeDistance(a: Float32Array, b: Float32Array): number {
  const norm = (v: Float32Array) => Math.sqrt(v.reduce((sum, x) => sum + x * x, 0));
  return norm(a.map((value, i) => value - b[i]!)) / norm(b);
}

export function expectSameTraining(run: Scenario, outcome: Outcome, batches = batchesInOrder(run.job)): void {
  const total = run.job.train.epochs * model.trainSamples;
  expect(outcome.verdict, outcome.verdict.reason).toMatchObject({ status: 'succeeded', samples: { applied: total, lost: 0 } });
  const alone = trainAlone(run.job, batches);
  expect(relativeDistance(outcome.parameters, alone.parameters)).toBeLessThan(1e-5);
  const losses = eventsOf(outcome.events, 'commit').map(({ loss }) => loss);
  expect(losses).toHaveLength(alone.losses.length);
  for (const [i, loss] of losses.entries()) expect(loss / alone.losses[i]!).toBeCloseTo(1, 5);
}
