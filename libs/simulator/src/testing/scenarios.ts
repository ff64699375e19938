import type { Job, RunEvent, RunEventName, StoredEvent } from '@longtail/core';
import { softmaxRegression } from '../model.js';
import type { Scenario, SimulatedWorker } from '../scenario.js';

/** 4 × 3 + 3 = 15 … parameters in several chunks of 16: see `chunkLength` of a scenario. */
export const model = softmaxRegression({ features: 12, classes: 3, trainSamples: 600, validationSamples: 90, seed: 7 });

export const unequalFleet: readonly SimulatedWorker[] = [
  { name: 'a', samplesPerSecond: 1000 },
  { name: 'b', samplesPerSecond: 600 },
  { name: 'c', samplesPerSecond: 400 },
  { name: 'd', samplesPerSecond: 250 },
];

export interface JobChanges {
  readonly train?: Partial<Job['train']>;
  readonly sync?: Partial<Job['sync']>;
  readonly cluster?: Partial<Job['cluster']>;
  readonly validation?: Partial<Job['validation']>;
  readonly checkpoint?: Partial<Job['checkpoint']>;
  readonly record?: Job['record'];
  readonly model?: Job['model'];
}

export function job(changes: JobChanges = {}): Job {
  return {
    name: 'softmax',
    model: changes.model ?? { type: 'mlp', input: 12, hidden: [], outputs: 3 },
    loss: 'cross-entropy',
    data: { type: 'mnist' },
    train: {
      epochs: 2,
      maxSamples: undefined,
      batch: 60,
      optimizer: { type: 'adam', beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weightDecay: 0, decoupled: false },
      learningRate: 0.05,
      schedule: { type: 'cosine', warmup: 0.1, floor: 0 },
      clipNorm: undefined,
      seed: 3,
      ...changes.train,
    },
    validation: { everyEpochs: 1, maxSamples: undefined, ...changes.validation },
    sync: { strategy: 'bsp', deadlineFactor: 3, minDeadlineMs: 200, codec: 'fp32', maxNorm: undefined, ...changes.sync },
    cluster: { minWorkers: 1, waitMs: 10_000, engine: undefined, ...changes.cluster },
    checkpoint: { everyMs: 1000, ...changes.checkpoint },
    ...(changes.record && { record: changes.record }),
  };
}

export function scenario(changes: Partial<Scenario> = {}): Scenario {
  return { job: job(), model, fleet: unequalFleet, seed: 1, ...changes };
}

export function eventsOf<Name extends RunEventName>(
  events: readonly StoredEvent[],
  name: Name,
): readonly Extract<RunEvent, { event: Name }>[] {
  return events.flatMap(({ body }) => (body.event === name ? [body as Extract<RunEvent, { event: Name }>] : []));
}
