import { mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { hostname, tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { claimIdentity } from './node-identity.js';

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'longtail-identity-'));
});
afterEach(() => rmSync(folder, { recursive: true }));

test('a node keeps its id from one process to the next', async () => {
  const first = await claimIdentity(folder, 'lent');
  expect(first.node).toBe('');
  first.remember('n1-abc');
  first.release();
  expect((await claimIdentity(folder, 'lent')).node).toBe('n1-abc');
});

test('nodes of one name side by side have an id each; other names too', async () => {
  const [first, second, other] = [await claimIdentity(folder, 'lent'), await claimIdentity(folder, 'lent'), await claimIdentity(folder, 'a/b')];
  for (const [i, one] of [first, second, other].entries()) one.remember(`n${i}`);
  for (const one of [first, second, other]) one.release();
  for (const [i, name] of ['lent', 'lent', 'a/b'].entries()) expect((await claimIdentity(folder, name)).node).toBe(`n${i}`);
});

test('what a killed process held is free again, and a half-written file is as none', async () => {
  (await claimIdentity(folder, 'lent')).remember('n1-abc');
  const lock = readdirSync(folder).find((name) => name.endsWith('.lock'))!;
  writeFileSync(join(folder, lock), '999999999'); // beyond the largest process id
  expect((await claimIdentity(folder, 'lent')).node).toBe('n1-abc');
  writeFileSync(join(folder, lock), ''); // as a power cut may leave it
  writeFileSync(join(folder, lock.replace('.lock', '')), '{"no');
  expect((await claimIdentity(folder, 'lent')).node).toBe('');
});

test('a lock that cannot be read keeps nobody waiting', async () => {
  mkdirSync(join(folder, `lent@${encodeURIComponent(hostname())}-1.json.lock`));
  await expect(claimIdentity(folder, 'lent')).rejects.toThrow('Cannot keep the id of this node');
});

test.runIf(process.platform === 'linux')('where no folder can be, an id cannot be kept, and that is said', async () => {
  await expect(claimIdentity('/proc/longtail/nodes', 'lent')).rejects.toMatchObject({ code: 'storage', message: 'Cannot keep the id of this node: /proc takes no new folders.' });
});
