import { cpSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Job, LongtailError } from '@longtail/core';
import fc from 'fast-check';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { checkpointFolder } from './checkpoints.js';
import { exampleCheckpoint } from './testing/example-checkpoint.js';
import { exampleJob } from './testing/example-run.js';

let folder: string;
beforeEach(() => {
  folder = join(mkdtempSync(join(tmpdir(), 'longtail-checkpoint-')), 'checkpoint');
});
afterEach(() => rmSync(join(folder, '..'), { recursive: true }));

const fail = (error: LongtailError): never => expect.unreachable(error.message);

test('a checkpoint comes back as it was, and only the newest are kept', async () => {
  const checkpoints = checkpointFolder(folder, { keep: 2 });
  expect(await checkpoints.latest(fail)).toBeUndefined();
  for (const version of [1, 2, 3]) await checkpoints.write(exampleCheckpoint(version));
  expect(await checkpoints.versions()).toEqual([3, 2]);
  const job = JSON.parse(JSON.stringify(exampleJob)) as Job;
  expect(await checkpoints.latest(fail)).toEqual({ ...exampleCheckpoint(3), job });
  expect(await checkpoints.read(2)).toEqual({ ...exampleCheckpoint(2), job });
  await expect(checkpoints.read(1)).rejects.toMatchObject({ code: 'missing-file' });
});

test('state in 8 bits comes back as it was kept', async () => {
  const checkpoints = checkpointFolder(folder, { keep: 1 });
  const optimizer = { ...exampleJob.train.optimizer, stateBits: 8 } as Job['train']['optimizer'];
  const job = { ...exampleJob, train: { ...exampleJob.train, optimizer } };
  const state = [Uint8Array.of(0, 0, 128, 63, 7, 255), Uint8Array.of(1, 2, 3, 4, 5, 6)];
  await checkpoints.write({ ...exampleCheckpoint(1), job, state });
  const read = (await checkpoints.latest(fail))!;
  expect(read.state.map((vector) => [...vector])).toEqual(state.map((vector) => [...vector]));
});

test('a version written again replaces the first one', async () => {
  const checkpoints = checkpointFolder(folder, { keep: 1 });
  await checkpoints.write(exampleCheckpoint(5));
  await checkpoints.write({ ...exampleCheckpoint(5), steps: 9 });
  expect((await checkpoints.latest(fail))!.steps).toBe(9);
  expect(readdirSync(folder)).toHaveLength(1);
});

test('a version that is older than the newest undoes what is newer: a server that was succeeded wrote that, or it is damaged', async () => {
  const checkpoints = checkpointFolder(folder, { keep: 1 });
  for (const version of [8, 10, 9]) await checkpoints.write(exampleCheckpoint(version));
  expect(await checkpoints.versions()).toEqual([9]);
});

test.each([
  ['a cut file', (path: string) => truncateSync(join(path, 'parameters.safetensors'), 100)],
  ['a flipped bit', (path: string) => flip(join(path, 'optimizer.safetensors'))],
  [
    'a changed sidecar',
    (path: string) =>
      writeFileSync(
        join(path, 'checkpoint.json'),
        readFileSync(join(path, 'checkpoint.json'), 'utf8').replace('"applied": 3', '"applied": 4'),
      ),
  ],
  ['an empty sidecar', (path: string) => writeFileSync(join(path, 'checkpoint.json'), '')],
  ['a missing file', (path: string) => rmSync(join(path, 'optimizer.safetensors'))],
])('%s is found, and the one before it is taken', async (_, damage) => {
  const checkpoints = checkpointFolder(folder, { keep: 2 });
  await checkpoints.write(exampleCheckpoint(1));
  const { path } = await checkpoints.write(exampleCheckpoint(2));
  damage(path);
  const errors: string[] = [];
  expect((await checkpoints.latest((error) => errors.push(error.code)))!.version).toBe(1);
  expect(errors).toHaveLength(1);
  expect(['checksum', 'missing-file']).toContain(errors[0]);
});

// benchmarks/system/fuzz-files.mjs tries more.
test('a mutant of a checkpoint is refused, or is as good as the original', async () => {
  const checkpoints = checkpointFolder(folder, { keep: 1 });
  const { path } = await checkpoints.write(exampleCheckpoint(1));
  const original = await checkpoints.read(1);
  const file = fc.constantFrom('parameters.safetensors', 'optimizer.safetensors', 'checkpoint.json');
  await fc.assert(
    fc.asyncProperty(file, fc.nat(), fc.nat(255), fc.boolean(), async (name, at, byte, cut) => {
      const whole = readFileSync(join(path, name));
      const mutant = cut ? whole.subarray(0, at % whole.length) : Buffer.from(whole);
      if (!cut) mutant[at % whole.length] = byte;
      writeFileSync(join(path, name), mutant);
      try {
        expect(await checkpoints.read(1)).toEqual(original);
      } catch (error) {
        expect(['checksum', 'invalid-file', 'missing-file']).toContain((error as LongtailError).code);
      } finally {
        writeFileSync(join(path, name), whole);
      }
    }),
    { numRuns: 300 },
  );
});

test('what a killed write left is never read, and removed by the next write', async () => {
  const checkpoints = checkpointFolder(folder, { keep: 2 });
  const { path } = await checkpoints.write(exampleCheckpoint(1));
  cpSync(path, join(folder, '.2.0123456789ab.tmp'), { recursive: true });
  expect((await checkpoints.latest(fail))!.version).toBe(1);
  await checkpoints.write(exampleCheckpoint(3));
  expect(readdirSync(folder).sort()).toEqual(['v00000001', 'v00000003']);
});

test('a folder that cannot be written is a storage error', async () => {
  mkdirSync(join(folder, '..'), { recursive: true });
  writeFileSync(folder, 'a file');
  await expect(checkpointFolder(folder, { keep: 1 }).write(exampleCheckpoint(1))).rejects.toMatchObject({ code: 'storage' });
});

function flip(path: string): void {
  const bytes = readFileSync(path);
  bytes[bytes.length - 1] ^= 1;
  writeFileSync(path, bytes);
}
