import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { layOut, LongtailError, type Job, type Verdict } from '@longtail/core';
import type { Resumption, RunSnapshot, Server } from '@longtail/runtime';
import { BESIDE_LOGS, createRun, IN_MEMORY, openDatabase, type Database, type RunOwner } from '@longtail/store';
import { pino } from 'pino';
import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import type { Inspection } from './inspect-data.js';
import { JobDesk } from './job-desk.js';
import { PastRuns } from './past-runs.js';
import { RunRegister } from './run-register.js';
import { runStore } from './run-store.js';

const document = { name: 'digits', data: 'mnist', model: 'cnn' };
const owner: RunOwner = { address: '127.0.0.1:7077', pid: process.pid };
/** A process that is there, and one that cannot be. */
const [ALIVE, GONE] = [process.ppid, 999_999_999];

let folder: string;
let sha256: string;
let resumptions: Resumption[];
let refusal: LongtailError | undefined;
let launches: RunSnapshot[];
let logged: { readonly msg: string }[];
let past: PastRuns;
let register: RunRegister;
let serveAs: (owner: RunOwner) => PastRuns;
let database: Database;
let desk: JobDesk;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'longtail-past-'));
  [sha256, resumptions, refusal, launches, logged] = ['abc', [], undefined, [], []];
  desk = new JobDesk(async (): Promise<Inspection> => ({
    signature: { inputShape: [28, 28, 1], inputType: 'float32', targetShape: [], targetType: 'int32', classes: 10 },
    files: [{ name: 'data/train-images', path: '/place', bytes: 3, sha256 }],
    notes: {},
  }));
  const server = {
    jobs: () => [],
    resume: (resumption: Resumption) => {
      resumptions.push(resumption);
      if (refusal !== undefined) throw refusal;
      return { run: resumption.store.run, folder: resumption.store.folder };
    },
    launch: async (_job: Job, _files: unknown, from: RunSnapshot) => {
      launches.push(from);
      return { run: 'fork', folder: '' };
    },
  } as unknown as Server;
  const log = pino({ level: 'info' }, { write: (line) => logged.push(JSON.parse(line) as { msg: string }) });
  database = await openDatabase(IN_MEMORY);
  serveAs = (by) => {
    register = new RunRegister({ table: database.runs, runsFolder: folder, owner: by });
    return new PastRuns({ server, desk, register, checkpoints: BESIDE_LOGS, owner: by, log });
  };
  past = serveAs(owner);
});
afterEach(async () => {
  for (const { store } of resumptions) await store.log.close();
  await database.close();
  await rm(folder, { recursive: true });
});

async function left(by: RunOwner, verdict?: Partial<Verdict>): Promise<{ readonly id: string }> {
  const { job } = await desk.study(document);
  const run = await createRun(folder, job, { now: () => 1, owner: by, document });
  run.events.append({ event: 'submitted', run: run.id, job, protocol: 1 });
  const store = runStore(run, { model: {} });
  for (const version of [3, 5]) {
    await store.checkpoint({
      run: run.id,
      job,
      layout: layOut([{ name: 'w', shape: [2] }]),
      version,
      steps: version,
      parameters: Float32Array.of(version, 0),
      state: [new Float32Array(2), new Float32Array(2)],
      leases: { samplesPerEpoch: 10, epochs: 1, applied: version, lost: 0, cursor: { epoch: 0, position: version }, returned: [] },
      validationSamples: 4,
      blocks: undefined,
      metrics: { validation_loss: null, validation_accuracy: null, train_loss: 0.5 },
    });
  }
  if (verdict !== undefined) run.events.append({ event: 'verdict', run: run.id, reason: '', samples: { applied: 5, lost: 0 }, ...verdict } as Verdict);
  await run.close();
  return { id: run.id };
}

it('resumes what a server with its address left, from the newest version, and nothing else', async () => {
  const mine = await left({ ...owner, pid: GONE });
  await left({ address: '127.0.0.1:0', pid: GONE });
  await left({ ...owner, pid: GONE }, { status: 'cancelled', reason: 'enough' });
  await past.resumeUnfinished();
  expect(resumptions.map(({ store }) => store.run)).toEqual([mine.id]);
  const { snapshot, past: events, reason } = resumptions[0]!;
  expect(snapshot).toMatchObject({ version: 5, leases: { applied: 5 }, metrics: { train_loss: 0.5 }, parameters: Float32Array.of(5, 0) });
  expect(events.map(({ body }) => body.event)).toEqual(['submitted']);
  expect(reason).toBe('its server was killed');
});

it('leaves what a server on any free port has, or left, to `resume`', async () => {
  const onFreePort: RunOwner = { address: '127.0.0.1:0', pid: GONE };
  await left({ ...onFreePort, pid: ALIVE });
  const { id } = await left(onFreePort);
  await serveAs(onFreePort).resumeUnfinished();
  expect(resumptions).toEqual([]);
  expect(await past.resume(id)).toMatchObject({ run: id, version: 5 });
});

it('leaves a run whose data have changed, and says so; it can be resumed when they are back', async () => {
  const { id } = await left({ ...owner, pid: GONE });
  sha256 = 'def';
  await past.resumeUnfinished();
  expect(resumptions).toEqual([]);
  expect(logged.map(({ msg }) => msg)).toEqual(['cannot be resumed: The file data/train-images is not what it was when the run was launched.']);
  sha256 = 'abc';
  expect(await past.resume(id)).toMatchObject({ run: id, version: 5 });
});

it('resumes when asked what was cancelled or has no server, not what succeeded or another process has', async () => {
  const cancelled = await left({ ...owner, pid: GONE }, { status: 'cancelled', reason: 'enough' });
  await past.resume(cancelled.id);
  expect(resumptions[0]!.reason).toBe('asked for after it was cancelled: enough');
  const orphan = await left({ address: '127.0.0.1:0', pid: GONE });
  await past.resume(orphan.id);
  const done = await left({ ...owner, pid: GONE }, { status: 'succeeded' });
  await expect(past.resume(done.id)).rejects.toMatchObject({ code: 'usage', message: expect.stringContaining('has succeeded: nothing is left to do'), hint: expect.stringContaining('longtail fork') });
  const other = await left({ address: '127.0.0.1:9000', pid: ALIVE });
  await expect(past.resume(other.id)).rejects.toMatchObject({ code: 'usage', message: expect.stringContaining('the server at 127.0.0.1:9000') });
  await expect(past.resume('nobody')).rejects.toMatchObject({ code: 'usage', message: 'no run nobody' });
});

it('leaves a run that the server does not take as it was, in the table too', async () => {
  const { id } = await left({ ...owner, pid: GONE }, { status: 'failed', reason: 'a disk without room' });
  refusal = new LongtailError('nothing is left to learn', { code: 'usage' });
  await expect(past.resume(id)).rejects.toBe(refusal);
  expect(await register.list(10, undefined)).toMatchObject([{ run: id, status: 'failed', reason: 'a disk without room' }]);
  expect(() => resumptions[0]!.store.log.append({ event: 'warning', run: id, message: 'late', hint: '' })).toThrow();
});

it('forks a version that is there, with other fields, but not another model, data or order', async () => {
  const { id } = await left(owner, { status: 'succeeded' });
  expect(await past.fork(id, 0, {})).toMatchObject({ run: 'fork', version: 5 });
  expect(await past.fork(id, 3, { 'train.learningRate': 0.5 })).toMatchObject({ version: 3 });
  expect(launches.map(({ version }) => version)).toEqual([5, 3]);
  await expect(past.fork(id, 4, {})).rejects.toMatchObject({ code: 'missing-file', message: 'Version 4 of the run was not kept; there is 5, 3.' });
  await expect(past.fork(id, 0, { 'train.seed': 9 })).rejects.toMatchObject({ code: 'usage', where: 'train.seed' });
  await expect(past.fork(id, 0, { model: 'resnet' })).rejects.toMatchObject({ code: 'usage', where: 'model' });
  await expect(past.fork(id, 0, { 'train.epochs': -1 })).rejects.toMatchObject({ code: 'invalid-file' });
});

it("keeps time by its own clock, whatever the machine's is set to", async () => {
  await left({ ...owner, pid: GONE });
  await past.resumeUnfinished();
  const { log } = resumptions[0]!.store;
  const event = { event: 'warning', run: 'r', message: 'later', hint: '' } as const;
  const { timeMs } = log.append(event);
  try {
    vi.useFakeTimers({ toFake: ['Date'], now: Date.now() + 3 * 3_600_000 });
    expect(Date.now() - timeMs).toBeGreaterThan(3_600_000);
    expect(log.append(event).timeMs - timeMs).toBeLessThan(3_600_000);
  } finally {
    vi.useRealTimers();
  }
});
