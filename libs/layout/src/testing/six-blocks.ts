import type { Job, ModelProfile, RunEvent, RunEventName } from '@longtail/core';
import { chain, simulate, type Fault, type Outcome, type Scenario, type SimulatedWorker } from '@longtail/simulator';
import { plannedLayout } from '../planned-layout.js';

const model = chain({ features: 6, width: 5, blocks: 6, trainSamples: 240, validationSamples: 40, seed: 11 });

/** Of the same blocks, but of a megabyte of parameters each: a worker that offers 22 MiB holds four of the six. */
export const profile: ModelProfile = {
  name: 'six',
  inputBytes: 24,
  blocks: Array.from({ length: 6 }, (_, i) => ({
    name: `block${i}`,
    parameters: 250_000,
    tied: [],
    forwardFlops: 1e9,
    backwardFlops: 2e9,
    outputBytes: 20,
    stashBytes: 40,
    cutAfter: i < 5,
  })),
};

export const job: Job = {
  name: 'six',
  model: { type: 'mlp', input: 6, hidden: [], outputs: 6 },
  loss: 'cross-entropy',
  data: { type: 'mnist' },
  train: {
    epochs: 30,
    maxSamples: undefined,
    batch: 48,
    optimizer: { type: 'adam', beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weightDecay: 0, decoupled: false },
    learningRate: 0.002,
    schedule: { type: 'constant' },
    clipNorm: undefined,
    seed: 3,
  },
  validation: { everyEpochs: 100, maxSamples: undefined },
  sync: { strategy: 'bsp', deadlineFactor: 6, minDeadlineMs: 5000, codec: 'fp32', maxNorm: undefined },
  cluster: { minWorkers: 2, waitMs: 20_000, engine: undefined, schedule: '1f1b', microbatch: 4 },
  checkpoint: { everyMs: 1e9 },
};
export const SAMPLES = job.train.epochs * 240;

export const worker = (name: string, rest: Partial<SimulatedWorker> = {}): SimulatedWorker => ({
  name,
  samplesPerSecond: 20,
  overheadMs: 0,
  engine: 'tensorflow',
  memoryBytes: 22 * 2 ** 20,
  ...rest,
});

export const run = (fleet: readonly SimulatedWorker[], faults: readonly Fault[] = [], rest: Partial<Scenario> = {}): Promise<Outcome> =>
  simulate({ job, model, fleet, faults, seed: 1, layout: plannedLayout(() => profile), ...rest });

export const of = <Name extends RunEventName>({ events }: Outcome, name: Name) =>
  events.flatMap(({ body, timeMs }) => (body.event === name ? [{ ...(body as Extract<RunEvent, { event: Name }>), timeMs }] : []));
