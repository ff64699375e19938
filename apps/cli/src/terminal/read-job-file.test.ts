import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { LongtailError } from '@longtail/core';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { readJobFile } from './read-job-file.js';

const README = fileURLToPath(new URL('../../../../README.md', import.meta.url));

let file: string;
beforeEach(async () => void (file = join(await mkdtemp(join(tmpdir(), 'longtail-job-')), 'job.yaml')));
afterEach(() => rm(join(file, '..'), { recursive: true }));

it('takes the job that the README shows, laid out and synchronised as it shows', async () => {
  const shown = [...(await readFile(README, 'utf8')).matchAll(/```yaml\n([^]*?)```/g)].map((match) => match[1]!).filter((part) => !part.includes('arms:'));
  const [job, layout, sync, ...more] = shown;
  expect(more).toEqual([]);
  for (const part of [layout!, sync!]) {
    await writeFile(file, part + job!);
    expect((await readJobFile(file)).document).toMatchObject({ name: 'my-job', data: { path: join(file, '..', 'cars.csv') } });
  }
});

it('tells what the server found wrong at its place in the file', async () => {
  await writeFile(file, 'data: mnist\nmodel:\n  type: mlp\n  outputs: 3\n');
  const { located } = await readJobFile(file);
  const found = new LongtailError('model.outputs is 3', { code: 'invalid-file', where: 'model.outputs', hint: 'leave it out' });
  expect(located(found)).toMatchObject({ message: found.message, hint: found.hint, where: `${file}:4:3 model.outputs` });
  const other = new LongtailError('no such file', { code: 'missing-file', where: '/data/cars.csv' });
  expect(located(other)).toBe(other);
});

it('takes other values than the file says, and names them where they are wrong', async () => {
  await writeFile(file, 'data: { type: csv, path: cars.csv, target: Origin }\nmodel: mlp\ntrain: { epochs: 3, batch: 32 }\n');
  const job = await readJobFile(file, { 'train.epochs': 5, 'sync.codec': 'int8', 'data.path': 'vans.csv' });
  expect(job.document).toMatchObject({ train: { epochs: 5, batch: 32 }, sync: { codec: 'int8' }, data: { path: join(file, '..', 'vans.csv') } });
  await expect(readJobFile(file, { 'train.epoch': 5, 'train.batch': -1 })).rejects.toMatchObject({
    code: 'invalid-file',
    message: expect.stringMatching(/the job with train\.epoch=5, train\.batch=-1[^]*train\.batch[^]*epoch/) as string,
  });
  await expect(readJobFile(file, { 'model.hidden': [8] })).rejects.toMatchObject({ code: 'usage', where: 'model.hidden' });
  // The file's own faults keep their places.
  await writeFile(file, 'data: mnist\nmodel: mlp\ntrain: { epochs: none }\n');
  await expect(readJobFile(file, { 'train.epochs': 5 })).rejects.toMatchObject({ message: expect.stringContaining(`${file}:3:10 train.epochs`) as string });
});

it('tells what the server found wrong with a value of the command line there', async () => {
  await writeFile(file, 'data: mnist\nmodel: { type: mlp }\n');
  const { located } = await readJobFile(file, { 'model.outputs': 3 });
  expect(located(new LongtailError('model.outputs is 3', { code: 'invalid-file', where: 'model.outputs' }))).toMatchObject({ where: '--set model.outputs' });
  expect(located(new LongtailError('model.type is mlp', { code: 'invalid-file', where: 'model.type' }))).toMatchObject({ where: `${file}:2:10 model.type` });
});
