import { createHash } from 'node:crypto';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { DataSignature, Job, LongtailError } from '@longtail/core';
import { nodeFiles } from '@longtail/store';
import fc from 'fast-check';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { Interrupts } from './interrupts.js';
import { localModel } from './model-files.js';
import { ModuleRunner } from './module-runner.js';

let folder: string;
let given: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'longtail-files-'));
  given = join(folder, 'given.mjs');
  writeFileSync(given, 'export default 1;');
  mkdirSync(join(folder, 'cache'));
});
afterEach(() => rmSync(folder, { recursive: true }));

const SHA = 'a'.repeat(64);
const shaOf = (content: string) => createHash('sha256').update(content).digest('hex');

function jobWith(name: string, path: string): Job {
  return { name: 'test', loss: 'cross-entropy', model: { type: 'module', path, options: {}, traced: '/etc/passwd' }, files: [{ name, bytes: 17, sha256: SHA }] } as unknown as Job;
}

function local(job: Job): ReturnType<typeof localModel> {
  return localModel(job, new Map([[SHA, given]]), join(folder, 'cache'), nodeFiles(), true);
}

test('a module that is to run apart lies alone, where everybody may read it', async () => {
  const model = await local(jobWith('model/mine.mjs', '/somewhere/mine.mjs'));
  const { path } = model as { readonly path: string };
  expect(path).toMatch(/cache.[0-9a-f]{64}.mine\.mjs$/);
  expect(readFileSync(path, 'utf8')).toBe('export default 1;');
  expect([statSync(path).mode & 0o777, statSync(join(path, '..')).mode & 0o777]).toEqual([0o644, 0o755]);
});

const keras = (weights: string, path = '/somewhere/model.json'): Job => {
  const files = [['model/model.json', 'topology'], ['model/shards/group1.bin', weights]].map(([name, content]) => ({ name, bytes: content!.length, sha256: shaOf(content!) }));
  return { name: 'test', loss: 'cross-entropy', model: { type: 'keras', path }, files } as unknown as Job;
};

function received(job: Job, ...contents: string[]): ReturnType<typeof localModel> {
  const paths = contents.map((content) => {
    const path = join(folder, shaOf(content));
    writeFileSync(path, content);
    return [shaOf(content), path] as const;
  });
  return localModel(job, new Map(paths), join(folder, 'cache'), nodeFiles());
}

async function weightsOf(model: ReturnType<typeof localModel>): Promise<string> {
  const { path } = (await model) as { readonly path: string };
  return readFileSync(join(path, '..', 'shards', 'group1.bin'), 'utf8');
}

test('models of one topology and other weights do not get in each other\'s way', async () => {
  const first = received(keras('first'), 'topology', 'first');
  const second = received(keras('second'), 'topology', 'second');
  await second;
  expect(await weightsOf(first)).toBe('first');
  expect(await weightsOf(second)).toBe('second');
});

test('workers of one machine that receive a model at the same time all have it whole', async () => {
  const models = await Promise.all(Array.from({ length: 8 }, () => weightsOf(received(keras('w'.repeat(1e6)), 'topology', 'w'.repeat(1e6)))));
  expect(models.map(({ length }) => length)).toEqual(models.map(() => 1e6));
  expect(readdirSync(join(folder, 'cache'))).toHaveLength(1);
});

test('a model is where the job says only if all of it is there', async () => {
  const path = join(folder, 'model.json');
  mkdirSync(join(folder, 'shards'));
  writeFileSync(path, 'topology');
  writeFileSync(join(folder, 'shards', 'group1.bin'), 'older');
  const model = received(keras('newer', path), 'topology', 'newer');
  expect(await weightsOf(model)).toBe('newer');
  writeFileSync(join(folder, 'shards', 'group1.bin'), 'newer');
  expect(await received(keras('newer', path), 'topology', 'newer')).toMatchObject({ path });
});

test.each(['../../x.mjs', '..', '', '/x.mjs', 'a/../../../x.mjs', 'a\\..\\x.mjs', 'C:x.mjs'])('a file may not be called model/%s', async (name) => {
  const job = jobWith(`model/${name}`, name);
  const withMain = { ...job, model: { ...job.model, path: 'm' }, files: [{ name: 'model/m', bytes: 17, sha256: SHA }, ...job.files!] } as Job;
  await expect(local(withMain)).rejects.toMatchObject({ code: 'refused' });
});

test('no name leads out of the folder', async () => {
  const parts = fc.array(fc.constantFrom('..', '.', '/', 'a', 'b.json', '\\', ':', '\0', ' '), { maxLength: 6 }).map((all) => all.join(''));
  await fc.assert(
    fc.asyncProperty(parts, async (name) => {
      const job = jobWith('model/m', 'm');
      await local({ ...job, files: [...job.files!, { name: `model/${name}`, bytes: 17, sha256: SHA }] }).catch((error: LongtailError) => expect(['refused', undefined]).toContain(error.code));
      expect(readdirSync(folder).sort()).toEqual(['cache', 'given.mjs']);
      const copies = readdirSync(join(folder, 'cache'));
      expect(copies.filter((copy) => !/^[0-9a-f]{64}$/.test(copy))).toEqual([]);
    }),
  );
});

const data: DataSignature = { inputShape: [5], inputType: 'float32', targetShape: [], targetType: 'int32', classes: 3 };

test('a worker whose owner allows no code takes none, whatever it is sent', () => {
  const runner = new ModuleRunner('refused', folder, new Interrupts());
  expect(() => runner.admit(jobWith('model/m', 'm').model)).toThrow(expect.objectContaining({ code: 'refused', hint: expect.stringContaining('--allow-code') as string }) as Error);
  expect(() => runner.admit({ type: 'mlp', input: 1, hidden: [], outputs: 1 })).not.toThrow();
});

test('a trace that the server names is not looked at', async () => {
  const job = await new ModuleRunner('trusted', folder, new Interrupts()).readied(jobWith('model/m', 'm'), data);
  expect(job.model).toEqual({ type: 'module', path: 'm', options: {} });
});
