import { createRng, type Job, type RunEvent } from '@longtail/core';
import { expect, test } from 'vitest';
import type { RunStore, ServerDependencies } from './ports.js';
import { createServer } from './server-loop.js';
import { clockOf } from './testing/clock.js';

const clock = clockOf({ nowMs: () => 0, sleep: () => Promise.resolve() });

/** A store that takes its time with the report. */
function slowStore() {
  const events: RunEvent[] = [];
  let release!: () => void;
  const report = new Promise<void>((resolve) => (release = resolve));
  const store = {
    run: 'r1',
    folder: 'memory:',
    log: { append: (body: RunEvent) => ({ seq: events.push(body), timeMs: 0, body }) },
    finish: () => report,
  } as unknown as RunStore;
  return { store, events, release };
}

const JOB = { name: 'job', cluster: { minWorkers: 1, waitMs: 1000 }, sync: {}, checkpoint: { everyMs: 1000 }, train: {} } as unknown as Job;

test('a run whose store opens while the server closes is cancelled with the others', async () => {
  const { store, events, release } = slowStore();
  release();
  let opened!: (store: RunStore) => void;
  const openRun = () => new Promise<RunStore>((resolve) => (opened = resolve));
  const server = createServer({ clock, rng: createRng(1), codecs: [], openRun } as unknown as ServerDependencies);
  const launched = server.launch(JOB, []);
  const closing = server.close('the command has ended');
  opened(store);
  expect(await launched).toMatchObject({ run: 'r1' });
  await closing;
  expect(events.at(-1)).toMatchObject({ event: 'verdict', status: 'cancelled', reason: 'cancelled: the command has ended' });
  await expect(server.launch(JOB, [])).rejects.toMatchObject({ code: 'refused' });
});

test('close waits for the report of a run whose verdict is out already', async () => {
  const { store, events, release } = slowStore();
  const server = createServer({ clock, rng: createRng(1), codecs: [], openRun: async () => store } as unknown as ServerDependencies);
  await server.launch(JOB, []);
  await server.cancel('r1', 'enough');
  while (events.at(-1)?.event !== 'verdict') await Promise.resolve();

  let closed = false;
  const closing = server.close('the command has ended').then(() => (closed = true));
  await new Promise((resolve) => setImmediate(resolve));
  expect(closed).toBe(false);
  release();
  await closing;
});
