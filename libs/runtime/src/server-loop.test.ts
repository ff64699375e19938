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

test('close waits for the report of a run whose verdict is out already', async () => {
  const { store, events, release } = slowStore();
  const server = createServer({ clock, rng: createRng(1), codecs: [], openRun: async () => store } as unknown as ServerDependencies);
  await server.launch({ name: 'job', cluster: { minWorkers: 1, waitMs: 1000 }, sync: {}, checkpoint: { everyMs: 1000 }, train: {} } as unknown as Job, []);
  await server.cancel('r1', 'enough');
  while (events.at(-1)?.event !== 'verdict') await Promise.resolve();

  let closed = false;
  const closing = server.close('the command has ended').then(() => (closed = true));
  await new Promise((resolve) => setImmediate(resolve));
  expect(closed).toBe(false);
  release();
  await closing;
});
