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

function jobWith(name: string, path: string): Job {
  return { name: 'test', loss: 'cross-entropy', model: { type: 'module', path, options: {}, traced: '/etc/passwd' }, files: [{ name, bytes: 17, sha256: SHA }] } as unknown as Job;
}

function local(job: Job): ReturnType<typeof localModel> {
  return localModel(job, new Map([[SHA, given]]), join(folder, 'cache'), nodeFiles(), true);
}

test('a module that is to run apart lies alone, where everybody may read it', async () => {
  const model = await local(jobWith('model/mine.mjs', '/somewhere/mine.mjs'));
  const path = join(folder, 'cache', SHA, 'mine.mjs');
  expect(model).toMatchObject({ path });
  expect(readFileSync(path, 'utf8')).toBe('export default 1;');
  expect([statSync(path).mode & 0o777, statSync(join(path, '..')).mode & 0o777]).toEqual([0o644, 0o755]);
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
      expect(readdirSync(join(folder, 'cache'))).toEqual([SHA]);
      rmSync(join(folder, 'cache', SHA), { recursive: true }); // a file of one name may be a folder of the next
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
