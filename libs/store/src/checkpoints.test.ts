import { cpSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { layOut, type Job, type LongtailError } from '@longtail/core';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { checkpointFolder, type Checkpoint } from './checkpoints.js';
import { exampleJob } from './example-run.js';

let folder: string;
beforeEach(() => {
  folder = join(mkdtempSync(join(tmpdir(), 'longtail-checkpoint-')), 'checkpoint');
});
afterEach(() => rmSync(join(folder, '..'), { recursive: true }));

const layout = layOut([
  { name: 'w', shape: [2, 3] },
  { name: 'statistics', shape: [2], trainable: false },
]);
const checkpoint = (version: number): Checkpoint => ({
  run: 'r1',
  job: exampleJob,
  version,
  steps: version,
  leaseBook: {
    samplesPerEpoch: 10,
    epochs: 2,
    applied: 3,
    lost: 1,
    cursor: { epoch: 0, position: 6 },
    returned: [{ epoch: 0, start: 4, end: 6 }],
  },
  rng: { shares: 7 },
  validationSamples: 4,
  blocks: 2,
  metrics: { validation_loss: 0.5, validation_accuracy: 0.75, train_loss: null },
  layout,
  parameters: Float32Array.from({ length: 8 }, (_, i) => version + i / 3),
  state: [new Float32Array(8).fill(version / 7), new Float32Array(8).fill(-1)],
});
const fail = (error: LongtailError): never => expect.unreachable(error.message);

test('a checkpoint comes back as it was, and only the newest are kept', async () => {
  const checkpoints = checkpointFolder(folder, { keep: 2 });
  expect(await checkpoints.latest(fail)).toBeUndefined();
  for (const version of [1, 2, 3]) await checkpoints.write(checkpoint(version));
  expect(await checkpoints.versions()).toEqual([3, 2]);
  const job = JSON.parse(JSON.stringify(exampleJob)) as Job;
  expect(await checkpoints.latest(fail)).toEqual({ ...checkpoint(3), job });
  expect(await checkpoints.read(2)).toEqual({ ...checkpoint(2), job });
  await expect(checkpoints.read(1)).rejects.toMatchObject({ code: 'missing-file' });
});

test('state in 8 bits comes back as it was kept', async () => {
  const checkpoints = checkpointFolder(folder, { keep: 1 });
  const optimizer = { ...exampleJob.train.optimizer, stateBits: 8 } as Job['train']['optimizer'];
  const job = { ...exampleJob, train: { ...exampleJob.train, optimizer } };
  const state = [Uint8Array.of(0, 0, 128, 63, 7, 255), Uint8Array.of(1, 2, 3, 4, 5, 6)];
  await checkpoints.write({ ...checkpoint(1), job, state });
  const read = (await checkpoints.latest(fail))!;
  expect(read.state.map((vector) => [...vector])).toEqual(state.map((vector) => [...vector]));
});

test('a version written again replaces the first one', async () => {
  const checkpoints = checkpointFolder(folder, { keep: 1 });
  await checkpoints.write(checkpoint(5));
  await checkpoints.write({ ...checkpoint(5), steps: 9 });
  expect((await checkpoints.latest(fail))!.steps).toBe(9);
  expect(readdirSync(folder)).toHaveLength(1);
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
  await checkpoints.write(checkpoint(1));
  const { path } = await checkpoints.write(checkpoint(2));
  damage(path);
  const errors: string[] = [];
  expect((await checkpoints.latest((error) => errors.push(error.code)))!.version).toBe(1);
  expect(errors).toHaveLength(1);
  expect(['checksum', 'missing-file']).toContain(errors[0]);
});

test('what a killed write left is never read, and removed by the next write', async () => {
  const checkpoints = checkpointFolder(folder, { keep: 2 });
  const { path } = await checkpoints.write(checkpoint(1));
  cpSync(path, join(folder, '.2.0123456789ab.tmp'), { recursive: true });
  expect((await checkpoints.latest(fail))!.version).toBe(1);
  await checkpoints.write(checkpoint(3));
  expect(readdirSync(folder).sort()).toEqual(['v00000001', 'v00000003']);
});

test('a folder that cannot be written is a storage error', async () => {
  mkdirSync(join(folder, '..'), { recursive: true });
  writeFileSync(folder, 'a file');
  await expect(checkpointFolder(folder, { keep: 1 }).write(checkpoint(1))).rejects.toMatchObject({ code: 'storage' });
});

function flip(path: string): void {
  const bytes = readFileSync(path);
  bytes[bytes.length - 1] ^= 1;
  writeFileSync(path, bytes);
}
