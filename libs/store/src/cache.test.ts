import { createHash } from 'node:crypto';
import { mkdtempSync, readdirSync, readFileSync, rmSync, utimesSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { blobCache, fileCache } from './cache.js';

let root: string;
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'longtail-cache-'));
});
afterEach(() => rmSync(root, { recursive: true }));

const bytes = new TextEncoder().encode('some content');
const sha256 = createHash('sha256').update(bytes).digest('hex');

test('a file that came in pieces is found by its content', async () => {
  const cache = fileCache(root);
  expect(await cache.find(sha256)).toBeUndefined();
  const incoming = await cache.receive('data/x', { bytes: bytes.length, sha256 });
  await incoming.write(bytes.subarray(0, 5));
  expect(await cache.find(sha256)).toBeUndefined();
  await incoming.write(bytes.subarray(5));
  const file = await incoming.commit();
  expect(file).toEqual({ name: 'data/x', bytes: bytes.length, sha256, path: join(root, 'data', sha256) });
  expect(await cache.find(sha256)).toBe(file.path);
  expect(readFileSync(file.path)).toEqual(Buffer.from(bytes));
});

test.each([
  ['a changed', 'sOme content'],
  ['a short', 'some'],
])('%s file is refused and leaves nothing', async (_, content) => {
  const incoming = await fileCache(root).receive('data/x', { bytes: bytes.length, sha256 });
  await incoming.write(new TextEncoder().encode(content));
  await expect(incoming.commit()).rejects.toMatchObject({ code: 'checksum', where: 'data/x' });
  expect(readdirSync(join(root, 'data'))).toEqual([]);
});

test('a file longer than said is refused before it is all here; abort leaves nothing', async () => {
  const incoming = await fileCache(root).receive('data/x', { bytes: 3, sha256 });
  await expect(incoming.write(bytes)).rejects.toMatchObject({ code: 'checksum' });
  await incoming.abort();
  expect(readdirSync(join(root, 'data'))).toEqual([]);
});

test('a file larger than the disk is refused at once', async () => {
  await expect(fileCache(root).receive('x', { bytes: 2 ** 60, sha256 })).rejects.toMatchObject({
    code: 'storage',
    message: expect.stringContaining('free'),
  });
});

test('a name from the wire is no path', async () => {
  await expect(fileCache(root).find('../../etc/passwd')).rejects.toMatchObject({ code: 'protocol' });
});

test('blobs: a hit, a miss and a damaged one', async () => {
  const cache = blobCache(root);
  expect(await cache.get('key')).toBeUndefined();
  await cache.put('key', bytes);
  expect(Buffer.from((await cache.get('key'))!)).toEqual(Buffer.from(bytes));
  writeFileSync(join(root, 'blobs', 'key'), 'x'.repeat(40));
  expect(await cache.get('key')).toBeUndefined();
  await expect(cache.get('../key')).rejects.toThrow(RangeError);
});

test('what a killed process was taking in goes a day later; what another one takes in now stays', async () => {
  const folder = join(root, 'data');
  await (await fileCache(root).receive('before')).abort();
  const [killed, atWork] = ['.incoming.0123456789ab.tmp', '.incoming.ba9876543210.tmp'].map((name) => join(folder, name));
  for (const path of [killed!, atWork!]) writeFileSync(path, 'half of it');
  const yesterday = Date.now() / 1000 - 25 * 3600;
  utimesSync(killed!, yesterday, yesterday);
  await (await fileCache(root).receive('next')).abort();
  expect(readdirSync(folder)).toEqual([basename(atWork!)]);
});

test.runIf(process.platform === 'linux')('where no folder can be nothing is taken in, and that is said', async () => {
  await expect(fileCache('/proc/longtail').receive('a.csv')).rejects.toMatchObject({ code: 'storage', message: 'Cannot write to the cache: /proc takes no new folders.' });
});
