import { LongtailError } from '@longtail/core';
import { expect, test } from 'vitest';
import type { Fault } from './faults.js';
import type { Outcome } from './scenario.js';
import { simulate } from './simulate.js';
import { eventsOf, job, model, scenario } from './testing/scenarios.js';
import { softmaxRegression } from './model.js';

const group = job({ cluster: { minWorkers: 4 }, train: { epochs: 8 } });
const everybody = (kind: 'kill' | 'leave', atMs: number): Fault[] => ['a', 'b', 'c', 'd'].map((worker) => ({ kind, worker, atMs }));

/** One verdict, the last event; leases closed; what was learnt is in the model. */
function expectOrderly({ events, leases, store, verdict, workerEnds }: Outcome): void {
  expect(eventsOf(events, 'verdict')).toEqual([verdict]);
  expect(events.at(-1)!.body).toBe(verdict);
  expect(leases.leased).toBe(0);
  expect(verdict.samples.applied).toBe(leases.applied);
  if (verdict.model !== '') {
    const version = eventsOf(events, 'commit').at(-1)!.version;
    expect(store.model?.version).toBe(version);
    expect(store.model!.parameters.every(Number.isFinite)).toBe(true);
  }
  expect([...workerEnds.values()].every((end) => end === 'left' || end === 'refused')).toBe(true);
}

test.each([
  ['a group', group],
  ['a lone worker', job({ train: { epochs: 20 } })],
] as const)('cancel ends a run of %s with its model', async (_who, run) => {
  const alone = run.cluster.minWorkers === 1;
  const outcome = await simulate(
    scenario({ job: run, faults: [{ kind: 'cancel', atMs: 1500 }], ...(alone ? { fleet: [{ name: 'a', samplesPerSecond: 500 }] } : {}) }),
  );
  expectOrderly(outcome);
  expect(outcome.verdict).toMatchObject({
    status: 'cancelled',
    model: 'memory:model',
    reason: 'cancelled: the user said so',
    error: { code: 'cancelled' },
  });
  expect(outcome.verdict.samples.applied).toBeGreaterThan(alone ? 400 : 0);
  expect(outcome.virtualMs).toBeLessThan(2500);
});

test('a cancelled lone worker delivers the steps it has done', async () => {
  const outcome = await simulate(
    scenario({
      job: job({ train: { epochs: 20 } }),
      fleet: [{ name: 'a', samplesPerSecond: 500 }],
      faults: [{ kind: 'cancel', atMs: 1500 }],
    }),
  );
  // The second grant began at about 1.1 s; its end would have been at 3.6 s.
  expect(outcome.verdict.samples.applied).toBeGreaterThanOrEqual(660);
});

test.each(['kill', 'leave'] as const)('when all workers %s, the run waits for one, then fails with what was learnt', async (kind) => {
  const outcome = await simulate(scenario({ job: group, faults: everybody(kind, 700) }));
  expectOrderly(outcome);
  expect(outcome.verdict).toMatchObject({ status: 'failed', model: 'memory:model', error: { code: 'timeout' } });
  expect(outcome.virtualMs).toBeGreaterThan(10_600);
  expect(outcome.virtualMs).toBeLessThan(11_000);
});

test('a worker that comes in time takes the run up where the others left it', async () => {
  const late = { name: 'e', samplesPerSecond: 2000, joinAtMs: 6000 };
  const outcome = await simulate(scenario({ job: group, fleet: [...scenario().fleet, late], faults: everybody('kill', 700) }));
  expectOrderly(outcome);
  expect(outcome.verdict).toMatchObject({ status: 'succeeded', samples: { applied: 4800 } });
});

test('too few workers: the run fails after its waiting time, and says who was there', async () => {
  const outcome = await simulate(scenario({ job: job({ cluster: { minWorkers: 6 } }) }));
  expectOrderly(outcome);
  expect(outcome.verdict).toMatchObject({
    status: 'failed',
    model: '',
    error: { code: 'timeout' },
    reason: 'only 4 of 6 workers within 10 s (0 ready, 4 idle)',
  });
});

test('workers on another engine are not eligible, and it says so', async () => {
  const outcome = await simulate(scenario({ job: job({ cluster: { engine: 'tensorflow' } }) }));
  expect(outcome.verdict.error).toMatchObject({
    code: 'timeout',
    message: expect.stringContaining('runs on cpu, the job wants tensorflow') as string,
  });
});

test('a worker with another model is released with the reason; the rest train', async () => {
  const other = softmaxRegression({ features: 11, classes: 3, trainSamples: 600, validationSamples: 90, seed: 7 });
  const fleet = scenario().fleet.map((worker) => (worker.name === 'd' ? { ...worker, prepareMs: 200, model: other } : worker));
  const outcome = await simulate(scenario({ fleet }));
  expect(outcome.verdict.status).toBe('succeeded');
  const released = outcome.workerEvents.get('d')!.find((event) => event.event === 'released');
  expect(released).toMatchObject({ reason: 'its parameters are laid out differently from those of a' });
});

test('when nobody can prepare, the run fails at once with their error', async () => {
  const faults = scenario().fleet.map(({ name }): Fault => ({ kind: 'fail', worker: name, atMs: 50 }));
  const outcome = await simulate(scenario({ faults }));
  expect(outcome.verdict).toMatchObject({ status: 'failed', error: { code: 'engine', message: 'the device gave up' } });
  expect(outcome.virtualMs).toBeLessThan(1000);
});

test.each(['checkpoint', 'log'] as const)(
  'a full disk (%s) fails the run cleanly; the last version is saved where there is room',
  async (what) => {
    const outcome = await simulate(scenario({ job: group, faults: [{ kind: 'disk-full', atMs: 900, what }] }));
    expect(outcome.verdict).toMatchObject({
      status: 'failed',
      model: 'memory:model',
      error: { code: 'storage', message: `no space left for the ${what}` },
    });
    expect(outcome.store.verdict).toEqual(outcome.verdict);
    expect(outcome.store.model!.version).toBe(eventsOf(outcome.events, 'commit').at(-1)!.version + (what === 'log' ? 1 : 0));
    expect(outcome.leases.leased).toBe(0);
  },
);

test('no room for the model: the run fails, the last checkpoint stands', async () => {
  const outcome = await simulate(scenario({ job: group, faults: [{ kind: 'disk-full', atMs: 900, what: 'model' }] }));
  expect(outcome.verdict).toMatchObject({ status: 'failed', model: '', error: { code: 'storage' }, samples: { applied: 4800 } });
  expect(outcome.store.checkpoints.length).toBeGreaterThan(0);
});

test('no room for the last checkpoint: the model is there, and the verdict names both', async () => {
  const once = { ...group, checkpoint: { everyMs: 1_000_000 } };
  const outcome = await simulate(scenario({ job: once, faults: [{ kind: 'disk-full', atMs: 900, what: 'checkpoint' }] }));
  expect(outcome.verdict).toMatchObject({
    status: 'failed',
    model: 'memory:model',
    error: { code: 'storage', message: 'no space left for the checkpoint' },
    samples: { applied: 4800, lost: 0 },
  });
});

test.each([[4], [1]])('a learning rate that blows up fails %i workers with a hint, and keeps the last good version', async (workers) => {
  const wild = job({
    cluster: { minWorkers: workers },
    checkpoint: { everyMs: 20 },
    train: {
      epochs: 20,
      learningRate: 10,
      schedule: { type: 'constant' },
      optimizer: { type: 'sgd', momentum: 0, nesterov: false, weightDecay: 1 },
    },
  });
  const outcome = await simulate(scenario({ job: wild, fleet: scenario().fleet.slice(0, workers) }));
  expect(outcome.verdict).toMatchObject({
    status: 'failed',
    error: { code: 'diverged', hint: expect.stringContaining('train.learningRate') as string },
  });
  const { parameters } = outcome.store.model ?? outcome.store.checkpoints.at(-1)!;
  expect(parameters.every(Number.isFinite)).toBe(true);
  expect(outcome.verdict.model).toBe(
    outcome.store.model === undefined ? `memory:checkpoint-${outcome.store.checkpoints.at(-1)!.version}` : 'memory:model',
  );
});

test('validation happens when it is due and at the end, once a version', async () => {
  const outcome = await simulate(
    scenario({ job: job({ cluster: { minWorkers: 4 }, train: { epochs: 3 }, validation: { everyEpochs: 0.5 } }) }),
  );
  const validations = eventsOf(outcome.events, 'validation');
  expect(validations.map(({ epoch }) => epoch)).toEqual([0.5, 1, 1.5, 2, 2.5, 3]);
  expect(validations.every(({ samples }) => samples === model.validationSamples)).toBe(true);
  expect(validations.at(-1)!.loss).toBeLessThan(validations[0]!.loss);
  expect(outcome.verdict.metrics.validation_loss).toBe(validations.at(-1)!.loss);
});

test('a worker that dies in mid-validation: its slice is redone by the others', async () => {
  const slow = softmaxRegression({ features: 12, classes: 3, trainSamples: 120, validationSamples: 900, seed: 7 });
  const run = job({ cluster: { minWorkers: 4 }, train: { epochs: 1 } });
  const undisturbed = await simulate(scenario({ job: run, model: slow }));
  const before = undisturbed.events.find(({ body }) => body.event === 'validation')!;
  const atMs = before.timeMs - (before.body.event === 'validation' ? before.body.ms / 2 : 0);
  const outcome = await simulate(scenario({ job: run, model: slow, faults: [{ kind: 'kill', worker: 'a', atMs }] }));
  expect(eventsOf(outcome.events, 'validation')).toMatchObject([{ samples: 900 }]);
  expect(outcome.verdict.metrics.validation_loss).toBeCloseTo(undisturbed.verdict.metrics.validation_loss!, 9);
});

test('workers get the files that they miss from the server before they prepare, also over a link that breaks', async () => {
  const content = Uint8Array.from({ length: 1_500_000 }, (_, i) => i % 251);
  const file = {
    name: 'train.csv',
    bytes: content.length,
    sha256: 'abc',
    read: (offset: number, length: number) => content.subarray(offset, offset + length),
  };
  const slow = { upBitsPerSecond: 1e7, downBitsPerSecond: 1e7, rttMs: 20 };
  const fleet = scenario().fleet.map((worker) => ({ ...worker, link: slow }));
  const cut: Fault = { kind: 'cut', worker: 'b', atMs: 250 };
  const outcome = await simulate(
    scenario({ job: job({ cluster: { minWorkers: 4 }, train: { epochs: 1 } }), fleet, files: [file], faults: [cut] }),
  );
  expect(outcome.fired).toContain(cut);
  expect(outcome.verdict.status).toBe('succeeded');
  for (const [worker, files] of outcome.workerFiles) expect(Buffer.compare(files.get('abc')!, content), worker).toBe(0);
  expect(outcome.verdict.bytes.down).toBeGreaterThan(4 * content.length);
});

test('a file that the server cannot read ends the run with its name', async () => {
  const missing = {
    name: 'train.csv',
    bytes: 10,
    sha256: 'abc',
    read: () => {
      throw new LongtailError('train.csv is gone', { code: 'missing-file' });
    },
  };
  const outcome = await simulate(scenario({ files: [missing] }));
  expect(outcome.verdict).toMatchObject({ status: 'failed', error: { code: 'missing-file', message: 'train.csv is gone' } });
});

test('a second job waits for the first and then gets its workers', async () => {
  const outcome = await simulate(
    scenario({ job: job({ train: { epochs: 1 } }), queued: [job({ cluster: { minWorkers: 4, waitMs: 100 }, train: { epochs: 1 } })] }),
  );
  expect(outcome.verdict.status).toBe('succeeded');
  const [second] = outcome.queued;
  expect(second!.verdict).toMatchObject({ status: 'succeeded', run: 'run-2', samples: { applied: 600 } });
  const waiting = eventsOf(second!.events, 'waiting').find(({ reason }) => reason.includes('at work for other runs'));
  expect(waiting).toBeDefined();
  const started = second!.events.find(({ body }) => body.event === 'started')!;
  expect(started.timeMs).toBeGreaterThan(outcome.events.at(-1)!.timeMs);
  expect(second!.peakWriting).toBe(1);
});
