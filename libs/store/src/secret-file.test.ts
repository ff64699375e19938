import { mkdtemp, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { secretFile } from './secret-file.js';

let folder: string;
beforeEach(async () => (folder = await mkdtemp(join(tmpdir(), 'longtail-state-'))));
afterEach(() => rm(folder, { recursive: true }));

it('keeps a secret from others, and overwrites it whole', async () => {
  const file = secretFile(join(folder, 'deep', 'key.json'));
  expect(await file.read()).toBeUndefined();
  await file.write('one');
  await file.write('two');
  expect(await file.read()).toBe('two');
  expect((await stat(file.path)).mode & 0o777).toBe(0o600);
  expect((await stat(dirname(file.path))).mode & 0o777).toBe(0o700);
});

it('says what cannot be read', async () => {
  await expect(secretFile(folder).read()).rejects.toMatchObject({ code: 'missing-file', where: folder });
});
