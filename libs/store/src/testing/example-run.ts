import { createRng, type Job, type RunEvent, type StoredEvent, type Verdict } from '@longtail/core';

/** The job of the made-up run: `longtail demo`. */
export const exampleJob: Job = {
  name: 'MNIST demo',
  model: { type: 'cnn', input: [28, 28, 1], channels: [32, 64], kernel: 3, padding: 'valid', pool: 'last', hidden: [128], outputs: 10 },
  loss: 'cross-entropy',
  data: { type: 'mnist' },
  train: {
    epochs: 3,
    maxSamples: undefined,
    batch: 512,
    optimizer: { type: 'adam', beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weightDecay: 0, decoupled: false },
    learningRate: 0.001,
    schedule: { type: 'cosine', warmup: 0.02, floor: 0.05 },
    clipNorm: undefined,
    seed: 1,
  },
  validation: { everyEpochs: 0.5, maxSamples: undefined },
  sync: { strategy: 'bsp', deadlineFactor: 3, minDeadlineMs: 2000, codec: 'fp32', maxNorm: undefined },
  cluster: { minWorkers: 4, waitMs: 60_000, engine: 'tensorflow' },
  checkpoint: { everyMs: 10_000 },
};

const EPOCH = 60_000;
const PARAMETERS = 1_199_882;
const WORKERS = [
  { node: 'n1', name: 'titan', throttle: 1 },
  { node: 'n2', name: 'gamer', throttle: 0.6 },
  { node: 'n3', name: 'laptop', throttle: 0.4 },
  { node: 'n4', name: 'attic <old>', throttle: 0.25 },
];

export interface ExampleOptions {
  readonly epochs?: number;
  readonly seed?: number;
  readonly status?: Verdict['status'];
}

/**
 * The event log of a made-up run for tests and screenshots: four unequal workers; in the second half of the first epoch
 * `laptop` stalls in one round (its lease goes back) and `attic <old>` is gone for a while; one contribution is rejected.
 */
export function exampleEvents({ epochs = 3, seed = 1, status = 'succeeded' }: ExampleOptions = {}): StoredEvent[] {
  const rng = createRng(seed);
  const events: StoredEvent[] = [];
  const run = 'a1b2c3d4';
  const start = Date.UTC(2026, 10, 22, 10, 0, 0);
  let timeMs = start;
  const log = (body: RunEvent): void => void events.push({ seq: events.length + 1, timeMs: Math.round(timeMs), body });

  log({ event: 'submitted', run, job: { ...exampleJob, train: { ...exampleJob.train, epochs } }, protocol: 1 });
  for (const { node, name, throttle } of WORKERS)
    log({ event: 'node_joined', node, name, engine: 'tensorflow', device: 'TensorFlow 2.21.0, AMD EPYC, 1 thread', throttle });
  log({ event: 'waiting', run, have: 0, need: 4, reason: 'workers build the model' });
  for (const { node, name, throttle } of WORKERS) {
    timeMs += 300;
    log({
      event: 'worker_ready',
      run,
      node,
      name,
      engine: 'tensorflow',
      samplesPerSecond: 2600 * throttle,
      parameters: PARAMETERS,
      memoryBytes: 6e8,
    });
  }
  log({ event: 'started', run, parameters: PARAMETERS, samplesPerEpoch: EPOCH, samplesTotal: epochs * EPOCH, workers: 4 });

  const total = epochs * EPOCH;
  const rounds = Math.ceil(total / 512);
  const bytes = PARAMETERS * 4;
  let applied = 0;
  let up = 0;
  let validation = { loss: 0, accuracy: 0 };
  for (let round = 1; round <= rounds; round++) {
    const progress = round / rounds;
    const gone = round > 0.2 * rounds && round < 0.3 * rounds;
    const stalls = round === Math.round(0.4 * rounds);
    if (round === Math.round(0.2 * rounds) + 1) {
      log({ event: 'node_left', node: 'n4', name: 'attic <old>', reason: 'its connection was lost: no heartbeat for 10 s' });
      log({ event: 'lease_returned', run, node: 'n4', samples: 57, reason: 'its worker left' });
      log({ event: 'warning', run, message: 'attic <old> left; 3 of 4 workers go on', hint: 'It may join again at any time.' });
    }
    if (round === Math.round(0.3 * rounds))
      log({
        event: 'node_joined',
        node: 'n4',
        name: 'attic <old>',
        engine: 'tensorflow',
        device: 'TensorFlow 2.21.0, AMD EPYC, 1 thread',
        throttle: 0.25,
      });
    const members = WORKERS.filter(({ node }) => !gone || node !== 'n4');
    const speed = members.reduce((sum, { throttle }) => sum + throttle, 0);
    const samples = Math.min(512, total - applied);
    const opened = timeMs;
    let slowest = 0;
    let committed = 0;
    for (const { node, name, throttle } of members) {
      const share = Math.round((samples * throttle) / speed);
      const computeMs = (share / (2600 * throttle)) * 1000 * (0.95 + 0.1 * rng.uniform()) * (stalls && node === 'n3' ? 14 : 1);
      const doneAtMs = opened + 4 + computeMs + 9 + 4 * rng.uniform();
      const accepted = !(stalls && node === 'n3') && !(round === 7 && node === 'n2');
      const reason = accepted ? '' : node === 'n3' ? 'missed the deadline of the round' : 'the gradient is not finite';
      slowest = Math.max(slowest, doneAtMs - opened);
      if (accepted) committed += share;
      up += bytes;
      log({
        event: 'contribution',
        run,
        round,
        node,
        name,
        samples: share,
        accepted,
        weight: accepted ? 1 : 0,
        staleness: 0,
        reason,
        computeMs,
        elapsedMs: computeMs,
        sentAtMs: opened,
        doneAtMs,
        bytesUp: bytes,
        bytesDown: bytes,
      });
      if (!accepted) log({ event: 'lease_returned', run, node, samples: share, reason });
    }
    timeMs = opened + slowest + 5;
    applied += committed;
    const loss =
      0.035 + 2.2 * Math.exp(-progress * 28) + 0.25 * Math.exp(-progress * 5) + 0.03 * rng.normal() * Math.exp(-2 * progress) ** 2;
    log({
      event: 'commit',
      run,
      round,
      version: round,
      samples: committed,
      samplesApplied: applied,
      epoch: applied / EPOCH,
      loss: Math.max(0.01, loss),
      accuracy: Math.min(1, 1 - loss / 3.4 + 0.004 * rng.normal()),
      learningRate: 0.001 * Math.min(1, progress / 0.02) * (0.05 + 0.475 * (1 + Math.cos(Math.PI * progress))),
      gradientNorm: 2 * Math.exp(-progress * 3) + 0.2 * rng.uniform(),
      roundMs: timeMs - opened,
      samplesPerSecond: (committed / (timeMs - opened)) * 1000,
      reason: 'all contributions are in',
    });
    if (round % 59 === 0 || round === rounds) {
      validation = { loss: 0.03 + 0.28 * Math.exp(-progress * 5), accuracy: 0.9905 - 0.09 * Math.exp(-progress * 6) };
      timeMs += 420;
      log({ event: 'validation', run, version: round, epoch: applied / EPOCH, samples: 10_000, ...validation, ms: 420 });
    }
    if (round % 120 === 0)
      log({ event: 'checkpoint', run, version: round, path: `checkpoint/v${String(round).padStart(8, '0')}`, bytes: bytes * 3, ms: 38 });
  }
  log({
    event: 'verdict',
    status,
    run,
    job: exampleJob.name,
    engine: 'tensorflow',
    metrics: { validation_loss: validation.loss, validation_accuracy: validation.accuracy, train_loss: 0.036 },
    samples: { applied, lost: 0 },
    seconds: (timeMs - start) / 1000,
    bytes: { up, down: up, direct: 0 },
    model: status === 'succeeded' ? '/home/ada/runs/2026-11-22T10-00-00-mnist-demo-a1b2c3d4/model.safetensors' : '',
    reason:
      status === 'succeeded'
        ? 'all samples were applied'
        : status === 'cancelled'
          ? 'cancelled by Ctrl-C'
          : 'fewer than 4 workers were left for 60 s',
  });
  return events;
}
