import { existsSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { layOut, type Job, type LongtailError } from '@longtail/core';
import { startS3Server, type S3Fault, type S3Server } from '@longtail/testing';
import { afterAll, afterEach, beforeAll, beforeEach, expect, it, vi } from 'vitest';
import { openCheckpointStore } from '../checkpoint-store.js';
import type { CheckpointFolder } from '../checkpoints.js';
import { exampleCheckpoint } from '../testing/example-checkpoint.js';

let s3: S3Server;
let root: string;
let runs = 0;
let run: string;
beforeAll(async () => {
  s3 = await startS3Server();
});
beforeEach(() => {
  for (const [name, value] of Object.entries(s3.keys)) vi.stubEnv(name, value);
  root = mkdtempSync(join(tmpdir(), 'longtail-s3-runs-'));
  run = `run${++runs}`;
});
afterEach(() => {
  s3.fault = undefined;
  s3.requests.length = 0;
  s3.objects.clear();
  rmSync(root, { recursive: true });
  vi.unstubAllEnvs();
});
afterAll(() => s3.close());

const spool = (): string => join(root, run, 'checkpoint');
const job = JSON.parse(JSON.stringify(exampleCheckpoint(0).job)) as Job;
const example = (version: number) => ({ ...exampleCheckpoint(version), job });
const fail = (error: LongtailError): never => expect.unreachable(error.message);

async function open(keep = 2): Promise<CheckpointFolder> {
  return (await openCheckpointStore(s3.location)).of(run, spool(), { keep });
}

/** What another machine finds. */
async function elsewhere(): Promise<CheckpointFolder> {
  return (await openCheckpointStore(s3.location)).of(run, join(root, 'elsewhere'), { keep: 2 });
}

it('undoes what a server that was succeeded had written to the bucket beyond where its successor began', async () => {
  const [before, after] = [await open(), await elsewhere()];
  for (const version of [8, 10, 11]) await before.write(exampleCheckpoint(version));
  await after.write(exampleCheckpoint(9));
  expect(await after.versions()).toEqual([9]);
  expect(await after.latest(fail)).toEqual(example(9));
});

it('keeps a checkpoint in the bucket and nothing on the disk, and only the newest', async () => {
  const checkpoints = await open();
  expect(await checkpoints.latest(fail)).toBeUndefined();
  for (const version of [1, 2, 3]) {
    const name = `v0000000${version}`;
    expect(await checkpoints.write(exampleCheckpoint(version))).toEqual({ path: `s3://models/some/where/${run}/${name}`, bytes: expect.any(Number) });
    expect(existsSync(spool())).toBe(false);
  }
  for (const reader of [checkpoints, await elsewhere()]) {
    expect(await reader.versions()).toEqual([3, 2]);
    expect(await reader.latest(fail)).toEqual(example(3));
    expect(await reader.read(2)).toEqual(example(2));
    await expect(reader.read(1)).rejects.toMatchObject({ code: 'missing-file' });
  }
  await checkpoints.write({ ...exampleCheckpoint(3), steps: 9 });
  expect(await (await elsewhere()).latest(fail)).toEqual({ ...example(3), steps: 9 });
  expect(s3.requests.filter((request) => /^PUT .*checkpoint\.json/.test(request))).toHaveLength(4);
});

it('sends a large one in parts, each signed', async () => {
  const length = 5 * 2 ** 20;
  const parameters = Float32Array.from({ length }, (_, i) => i);
  const large = { ...exampleCheckpoint(1), layout: layOut([{ name: 'w', shape: [length] }]), parameters, state: [] };
  await (await open()).write(large);
  expect(s3.requests.filter((request) => /PUT .*partNumber=/.test(request))).toHaveLength(3);
  const read = await (await elsewhere()).read(1);
  expect(Buffer.compare(Buffer.from(read.parameters.buffer), Buffer.from(parameters.buffer))).toBe(0);
});

it.each(['parameters.safetensors', 'checkpoint.json'])('takes the one before where %s is damaged in the store', async (name) => {
  const checkpoints = await open();
  for (const version of [1, 2]) await checkpoints.write(exampleCheckpoint(version));
  const bytes = s3.objects.get(`${run}/v00000002/${name}`)!;
  bytes[bytes.length - 9]! ^= 1;
  const errors: string[] = [];
  expect((await checkpoints.latest(({ code }) => errors.push(code)))!.version).toBe(1);
  expect(errors).toEqual(['checksum']);
});

const answer =
  (status: number, code: string): S3Fault =>
  (_request, response) => {
    response.writeHead(status, { 'content-type': 'application/xml' }).end(`<Error><Code>${code}</Code><Message>no</Message></Error>`);
    return true;
  };

const hangUp: S3Fault = (request) => {
  request.socket.destroy();
  return true;
};

it.each([
  ['is down', answer(500, 'InternalError'), 'unreachable'],
  ['hangs up', hangUp, 'unreachable'],
  ['refuses', answer(403, 'AccessDenied'), 'refused'],
  ['has no bucket any more', answer(404, 'NoSuchBucket'), 'missing-file'],
] as const)('a store that %s costs nothing: the checkpoint is on the disk, goes on from there, and the next one is sent', async (_name, fault, code) => {
  const checkpoints = await open();
  await checkpoints.write(exampleCheckpoint(1));
  let met = 0;
  s3.fault = (request, response) => ++met > 0 && fault(request, response);
  const written = await checkpoints.write(exampleCheckpoint(2));
  expect(written).toMatchObject({ path: join(spool(), 'v00000002'), behind: { code, hint: expect.any(String) } });
  expect(met).toBeGreaterThan(0);
  expect(await checkpoints.latest(fail)).toEqual(example(2));
  s3.fault = undefined;
  expect(await (await elsewhere()).versions()).toEqual([1]);
  expect(await (await open()).versions()).toEqual([2, 1]);
  expect((await checkpoints.write(exampleCheckpoint(3))).behind).toBeUndefined();
  expect(await (await elsewhere()).versions()).toEqual([3, 1]);
  expect(existsSync(spool())).toBe(false);
});

it('is tried again before anybody is told', async () => {
  const checkpoints = await open();
  let faults = 2;
  s3.fault = (request, response) => faults-- > 0 && answer(500, 'InternalError')(request, response);
  expect((await checkpoints.write(exampleCheckpoint(1))).behind).toBeUndefined();
  expect(faults).toBeLessThan(0);
});

it('an upload that broke off before its last file is none, and is removed by the next', async () => {
  const checkpoints = await open();
  await checkpoints.write(exampleCheckpoint(1));
  s3.fault = (request, response) => /checkpoint\.json/.test(request.url!) && answer(403, 'AccessDenied')(request, response);
  expect((await checkpoints.write(exampleCheckpoint(2))).behind).toMatchObject({ code: 'refused' });
  expect(s3.objects.has(`${run}/v00000002/parameters.safetensors`)).toBe(true);
  s3.fault = undefined;
  expect((await (await elsewhere()).latest(fail))!.version).toBe(1);
  await checkpoints.write(exampleCheckpoint(3));
  expect(s3.objects.has(`${run}/v00000002/parameters.safetensors`)).toBe(false);
});

it.each([
  ['s3://', 'usage', /no bucket/],
  ['s3://models?endpoint=nas:9000', 'usage', /endpoint/],
  ['s3://models?token=1', 'usage', /parameter token/],
  ['gs://models', 'usage', /do not go to/],
  ['s3://models?endpoint=http://127.0.0.1:9', 'unreachable', /does not answer/],
] as const)('does not begin with %s', async (location, code, message) => {
  await expect(openCheckpointStore(location)).rejects.toMatchObject({ code, message: expect.stringMatching(message), hint: expect.any(String) });
});

it('does not begin with a bucket that is not there, or with keys that are others', async () => {
  await expect(openCheckpointStore(s3.location.replace('models', 'none'))).rejects.toMatchObject({ code: 'missing-file', hint: expect.stringContaining('bucket') });
  vi.stubEnv('AWS_SECRET_ACCESS_KEY', 'guessed');
  const error = (await openCheckpointStore(s3.location).catch((thrown: unknown) => thrown)) as LongtailError;
  expect(error).toMatchObject({ code: 'refused', hint: expect.stringContaining('AWS_ACCESS_KEY_ID') });
  expect([error.message, error.hint, error.where, error.stack].join()).not.toContain('guessed');
});

it('puts them into a folder that all runs share, where that is asked for', async () => {
  const store = await openCheckpointStore(join(root, 'shared'));
  await store.of(run, spool(), { keep: 1 }).write(exampleCheckpoint(4));
  expect(readdirSync(join(root, 'shared', run))).toEqual(['v00000004']);
  expect(await store.of(run, spool(), { keep: 1 }).latest(fail)).toEqual(example(4));
});
