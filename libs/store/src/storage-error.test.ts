import { closeSync, existsSync, mkdtempSync, openSync, rmSync, truncateSync, writeFileSync, writeSync } from 'node:fs';
import { readdir } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { LongtailError } from '@longtail/core';
import { expect, test } from 'vitest';
import { asStorageError, ensureDiskSpace, makeFolder, withStorageErrors } from './storage-error.js';
import { writeFileAtomic } from './atomic.js';
import { nodeFiles } from './node-files.js';

function systemError(code: string): Error {
  return Object.assign(new Error(`${code}: something, write`), { code });
}

test.each([
  ['ENOSPC', 'storage', /disk is full/, /^Free some space on this disk, or choose another one for it\.$/],
  ['EACCES', 'storage', /access is denied/, /write access/],
  ['EROFS', 'storage', /read-only/, /another folder/],
  ['ENOENT', 'missing-file', /no such file/, /path/],
])('%s becomes %s with what to do', (code, expected, message, hint) => {
  expect(asStorageError(systemError(code), 'write the file', '/x')).toMatchObject({
    code: expected,
    where: '/x',
    message: expect.stringMatching(message),
    hint: expect.stringMatching(hint),
  });
});

test('what is no error of the file system stays as it is', () => {
  const own = new LongtailError('x', { code: 'checksum' });
  const coded = Object.assign(new TypeError('Invalid argument'), { code: 'ERR_INVALID_ARG_TYPE' });
  for (const error of [own, coded, new Error('plain'), 'text']) expect(asStorageError(error, 'write', '/x')).toBe(error);
});

test('a device that is full', async () => {
  const write = async (): Promise<void> => {
    if (!existsSync('/dev/full')) throw systemError('ENOSPC'); // only Linux has the device
    const fd = openSync('/dev/full', 'w');
    try {
      writeSync(fd, 'x');
    } finally {
      closeSync(fd);
    }
  };
  await expect(withStorageErrors('write the file', '/dev/full', write)).rejects.toMatchObject({
    code: 'storage',
    message: 'Cannot write the file: the disk is full.',
  });
});

test('space is asked for where the folder will be', async () => {
  await ensureDiskSpace(join(tmpdir(), 'not', 'yet', 'there'), 1);
  await expect(ensureDiskSpace(join(tmpdir(), 'not', 'yet'), 2 ** 60)).rejects.toMatchObject({
    code: 'storage',
    message: expect.stringMatching(/free; 1048576 TiB are needed/),
  });
});

test('files that are not there are named', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'longtail-files-'));
  const signal = new AbortController().signal;
  const files = nodeFiles({ base: folder });
  for (const attempt of [
    () => files.read('none'),
    () => files.list('none'),
    () => files.digest('none', signal),
    () => files.locate('none', signal),
  ]) {
    await expect(attempt()).rejects.toMatchObject({ code: 'missing-file', where: join(folder, 'none') });
  }
  await expect(files.read('.')).rejects.toMatchObject({ code: 'missing-file' });
  expect(await readdir(folder)).toEqual([]);
  rmSync(folder, { recursive: true });
});

test('a file that is read comes with the digest of its content', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'longtail-files-'));
  const path = join(folder, 'abc.txt');
  writeFileSync(path, 'abc');
  const { content, sha256 } = await nodeFiles().read(path);
  expect(new TextDecoder().decode(content)).toBe('abc');
  // FIPS 180-2, B.1
  expect(sha256).toBe('ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad');
  expect(await nodeFiles().digest(path, new AbortController().signal)).toEqual({ bytes: 3, sha256 });
  rmSync(folder, { recursive: true });
});

test('a file that is too large to be read at once is named', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'longtail-large-'));
  const path = join(folder, 'large.csv');
  writeFileSync(path, '');
  truncateSync(path, 2 ** 31 + 1); // takes no room
  await expect(nodeFiles().read(path)).rejects.toMatchObject({ code: 'invalid-data', where: path, message: 'Cannot read the file: it has more than 2 GiB.' });
  rmSync(folder, { recursive: true });
});

test('packages are found by path', async () => {
  expect(await nodeFiles().packageFolder('vitest', import.meta.url)).toMatch(/node_modules.vitest$/);
  expect(await nodeFiles().packageFolder('no-such-package', import.meta.url)).toBeUndefined();
});

test('a folder is made with those above it, and made again without a word', async () => {
  const root = mkdtempSync(join(tmpdir(), 'longtail-folder-'));
  try {
    for (let i = 0; i < 2; i++) await makeFolder('make it', join(root, 'a', 'b', 'c'));
    expect(existsSync(join(root, 'a', 'b', 'c'))).toBe(true);
  } finally {
    rmSync(root, { recursive: true });
  }
});

test('what was to be written is named', async () => {
  const path = join(fileURLToPath(import.meta.url), 'report.html');
  await expect(writeFileAtomic(path, '', 'write the report')).rejects.toMatchObject({ code: 'storage', message: expect.stringMatching(/^Cannot write the report: /) as unknown });
});

test('a file is no folder', async () => {
  await expect(makeFolder('keep the runs', fileURLToPath(import.meta.url))).rejects.toMatchObject({ code: 'storage', message: 'Cannot keep the runs: it is a file.' });
});

test.runIf(existsSync('/proc/self'))('a place that takes no folders is a matter of storage, said at once', async () => {
  await expect(makeFolder('make the folder of the run', '/proc/longtail/run')).rejects.toMatchObject({
    code: 'storage',
    message: 'Cannot make the folder of the run: /proc takes no new folders.',
    where: '/proc/longtail',
  });
});
