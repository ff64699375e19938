import { mkdirSync, mkdtempSync, readdirSync, rmdirSync, rmSync, writeFileSync } from 'node:fs';
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

/** The lock of the only node here, as a process that is gone left it. */
function heldBy(...holders: readonly string[]): string {
  const held = join(folder, `lent@${encodeURIComponent(hostname())}-1.json.held`);
  rmSync(held, { recursive: true, force: true });
  mkdirSync(held);
  for (const holder of holders) writeFileSync(join(held, holder), '');
  return held;
}

const BEYOND_ALL = '999999999'; // of all process ids

test('what a killed process held is free again, and a half-written file is as none', async () => {
  const claimed = await claimIdentity(folder, 'lent');
  claimed.remember('n1-abc');
  claimed.release();
  // The last: as a power cut may leave it.
  for (const holders of [[BEYOND_ALL], [BEYOND_ALL, '.DS_Store'], []]) {
    heldBy(...holders);
    const again = await claimIdentity(folder, 'lent');
    expect(again.node).toBe('n1-abc');
    again.release();
  }
  writeFileSync(heldBy().replace('.held', ''), '{"no');
  expect((await claimIdentity(folder, 'lent')).node).toBe('');
});

test('a process that has the id of the one that was killed, as in a container, has its node', async () => {
  const claimed = await claimIdentity(folder, 'lent');
  claimed.remember('n1-abc');
  claimed.release();
  heldBy(String(process.pid));
  expect((await claimIdentity(folder, 'lent')).node).toBe('n1-abc');
  expect((await claimIdentity(folder, 'lent')).node).toBe('');
});

test('an id that cannot be written down is not told as an error of the program, and the one before stays', async () => {
  const claimed = await claimIdentity(folder, 'lent');
  claimed.remember('n1-abc');
  const path = join(folder, readdirSync(folder).find((name) => name.endsWith('.json'))!);
  mkdirSync(join(`${path}.new`, 'in the way'), { recursive: true });
  expect(() => claimed.remember('n2-def')).toThrow(expect.objectContaining({ code: 'missing-file', where: path }) as Error);
  claimed.release();
  expect((await claimIdentity(folder, 'lent')).node).toBe('n1-abc');
});

test('what is released late leaves the lock to whoever has it by then', async () => {
  const late = await claimIdentity(folder, 'lent');
  const held = heldBy(String(process.ppid));
  late.release();
  expect(readdirSync(held)).toEqual([String(process.ppid)]);
});

test('a lock that cannot be read keeps nobody waiting', async () => {
  const held = heldBy();
  rmdirSync(held);
  writeFileSync(held, BEYOND_ALL);
  await expect(claimIdentity(folder, 'lent')).rejects.toThrow('Cannot keep the id of this node');
});

test.runIf(process.platform === 'linux')('where no folder can be, an id cannot be kept, and that is said', async () => {
  await expect(claimIdentity('/proc/longtail/nodes', 'lent')).rejects.toMatchObject({ code: 'storage', message: 'Cannot keep the id of this node: /proc takes no new folders.' });
});
