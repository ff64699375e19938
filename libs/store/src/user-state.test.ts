import { mkdtemp, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { secretFile, userState } from './user-state.js';

let folder: string;
beforeEach(async () => (folder = await mkdtemp(join(tmpdir(), 'longtail-state-'))));
afterEach(() => rm(folder, { recursive: true }));

it.each([
  [{ LONGTAIL_STATE: '/s', XDG_STATE_HOME: '/x' }, 'linux', '/s'],
  [{ LONGTAIL_STATE: 's' }, 'linux', resolve('s')],
  [{ XDG_STATE_HOME: '/x' }, 'linux', '/x/longtail'],
  [{ XDG_STATE_HOME: 'x' }, 'linux', '/h/.local/state/longtail'],
  [{}, 'linux', '/h/.local/state/longtail'],
  [{}, 'darwin', '/h/Library/Application Support/longtail'],
] as const)('finds the folder: %o on %s', (env, platform, expected) => {
  expect(userState(env, platform, '/h')).toBe(expected);
});

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
