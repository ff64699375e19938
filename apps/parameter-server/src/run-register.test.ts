import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Job, RunEvent, Verdict } from '@longtail/core';
import type { RunSnapshot } from '@longtail/runtime';
import { createRun, IN_MEMORY, openDatabase, openRun, type Database, type RunFolder, type RunOwner } from '@longtail/store';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { RunRegister } from './run-register.js';
import { runStore } from './run-store.js';

const owner: RunOwner = { address: '127.0.0.1:7077', pid: 999_999_999 };
const job = { name: 'digits', model: { type: 'cnn' }, checkpoint: {} } as Job;

let folder: string;
let database: Database;
let nowMs: number;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'longtail-register-'));
  database = await openDatabase(IN_MEMORY);
  nowMs = 1000;
});
afterEach(async () => {
  await database.close();
  await rm(folder, { recursive: true });
});

const register = (): RunRegister => new RunRegister({ table: database.runs, runsFolder: folder, owner });
const create = (by = owner): Promise<RunFolder> => createRun(folder, job, { now: () => nowMs++, owner: by });
const commit = (samplesApplied: number) => ({ event: 'commit', samplesApplied }) as RunEvent;
const verdict = (status: Verdict['status'], applied: number) => ({ event: 'verdict', status, reason: 'as it was', samples: { applied, lost: 0 } }) as RunEvent;

it('has a run from its launch on, its durable versions, and its end', async () => {
  const mine = register();
  const run = await create();
  const { log, checkpoint } = mine.track({ ...runStore(run, { model: {} }), checkpoint: async ({ version }) => ({ path: `v${version}`, bytes: 1 }) }, run);
  const row = { run: run.id, name: 'digits', model: 'cnn', folder: run.path, server: owner.address, createdAtMs: 1000, endedAtMs: undefined };
  expect(await mine.find(run.id)).toEqual({ ...row, status: 'running', reason: '', version: 0, samples: 0 });
  log.append(commit(64));
  log.append(commit(128));
  expect(await checkpoint({ version: 2 } as RunSnapshot)).toEqual({ path: 'v2', bytes: 1 });
  expect(await mine.list(10, undefined)).toEqual([{ ...row, status: 'running', reason: '', version: 2, samples: 128 }]);
  log.append({ event: 'resumed', version: 2, samplesApplied: 100 } as RunEvent);
  log.append(commit(110));
  await checkpoint({ version: 3 } as RunSnapshot); // the last one, which no event tells of
  const end = log.append(verdict('failed', 120));
  expect(await mine.list(10, 'failed')).toEqual([{ ...row, status: 'failed', reason: 'as it was', endedAtMs: end.timeMs, version: 3, samples: 120 }]);
  await run.close();
});

it('finds in its folder what other servers left, also while that goes on', async () => {
  const alive = await create({ address: '127.0.0.1:9000', pid: process.pid });
  const over = await create({ address: '127.0.0.1:0', pid: process.pid });
  over.events.append(verdict('succeeded', 7));
  await over.close();
  const mine = register();
  expect((await mine.list(10, undefined)).map(({ run, status, samples, server }) => [run, status, samples, server])).toEqual([
    [over.id, 'succeeded', 7, '127.0.0.1:0'],
    [alive.id, 'running', 0, '127.0.0.1:9000'],
  ]);
  expect(await mine.unfinished()).toEqual([]);
  alive.events.append(verdict('cancelled', 3));
  await alive.close();
  expect(await mine.find(alive.id)).toMatchObject({ status: 'running' });
  expect((await mine.list(10, undefined)).map(({ status }) => status)).toEqual(['succeeded', 'cancelled']);
  await expect(mine.find('none')).rejects.toMatchObject({ code: 'usage' });
});

it('brings up to date what the database missed: an end, and a run whose folder is gone', async () => {
  const [ended, removed] = [await create(), await create()];
  const first = register();
  for (const run of [ended, removed]) {
    first.track(runStore(run, { model: {} }), run);
    await run.close();
  }
  expect(await first.list(10, 'running')).toHaveLength(2);
  const again = await openRun(ended.path, { now: () => nowMs });
  again.events.append(verdict('succeeded', 9)); // and then the server was killed
  await again.close();
  await rm(removed.path, { recursive: true });
  const next = register();
  expect((await next.unfinished()).map(({ run, status }) => [run, status])).toEqual([[removed.id, 'interrupted']]);
  expect(await next.find(ended.id)).toMatchObject({ status: 'succeeded', samples: 9 });
});
