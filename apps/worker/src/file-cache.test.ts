import { createHash } from 'node:crypto';
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { FileSource } from '@longtail/core';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { createFileCache } from './file-cache.js';

const { signal } = new AbortController();
const CONTENT = new TextEncoder().encode('some rows of a table');
const FILE = { name: 'data/0-a.csv', bytes: CONTENT.length, sha256: createHash('sha256').update(CONTENT).digest('hex') };
/** A machine without any package. */
const SOURCE = { packageFolder: async () => undefined } as unknown as FileSource;

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'longtail-files-'));
});
afterEach(() => rm(folder, { recursive: true }));

it('keeps what arrived whole', async () => {
  const cache = createFileCache(folder, SOURCE);
  expect(await cache.find(FILE, signal)).toBeUndefined();
  const sink = await cache.receive(FILE);
  await sink.write(CONTENT.subarray(0, 7));
  expect(await cache.find(FILE, signal)).toBeUndefined();
  await sink.write(CONTENT.subarray(7));
  const path = await sink.finish();
  expect(await cache.find(FILE, signal)).toBe(path);
  expect(new Uint8Array(await readFile(path))).toEqual(CONTENT);
});

it('refuses another content, and leaves nothing behind', async () => {
  const sink = await createFileCache(folder, SOURCE).receive(FILE);
  await sink.write(CONTENT.subarray(1));
  await expect(sink.finish()).rejects.toMatchObject({ code: 'checksum' });
  expect(await readdir(join(folder, 'data'))).toEqual([]);
});

it('forgets what was abandoned', async () => {
  const sink = await createFileCache(folder, SOURCE).receive(FILE);
  await sink.write(CONTENT);
  await sink.abandon();
  expect(await readdir(join(folder, 'data'))).toEqual([]);
});

it('takes the same file twice at once', async () => {
  const cache = createFileCache(folder, SOURCE);
  const sinks = await Promise.all([cache.receive(FILE), cache.receive(FILE)]);
  await Promise.all(sinks.map((sink) => sink.write(CONTENT)));
  const paths = await Promise.all(sinks.map((sink) => sink.finish()));
  expect(paths[0]).toBe(paths[1]);
  expect(await readdir(join(folder, 'data'))).toEqual([FILE.sha256]);
});
