import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Job } from '@longtail/core';
import { createRun, readEvents, RUN_FILES } from '@longtail/store';
import { expect, it, onTestFinished } from 'vitest';
import { FollowedRuns } from './followed-runs.js';

const job = { name: 'digits', checkpoint: { everyMs: 1000 } } as Job;

it('makes a run anew that is here from before, but for what this machine recorded of it', async () => {
  const root = await mkdtemp(join(tmpdir(), 'longtail-followed-'));
  onTestFinished(() => rm(root, { recursive: true }));
  const run = await createRun(root, job, { now: () => 1 });
  run.events.append({ event: 'warning', run: run.id, message: 'of a history that was given up', hint: '' });
  await run.close();
  const part = join(run.path, RUN_FILES.recording, 'v00000000');
  await mkdir(part, { recursive: true });
  await writeFile(join(part, 'contributions.bin'), 'kept');
  const store = await new FollowedRuns(root).open(run.id, { createdAtMs: run.createdAtMs, job, document: {}, notes: { model: {} } });
  expect(store.lastSeq).toBe(0);
  expect(await readEvents(join(run.path, RUN_FILES.events))).toEqual([]);
  expect(existsSync(join(part, 'contributions.bin'))).toBe(true);
  await store.finish(undefined);
});
