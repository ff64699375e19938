import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { createServer, type RequestListener, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { fetchToCache } from './fetch-to-cache.js';
import { nodeFiles } from './node-files.js';

let cache: string;
let server: Server;
let url: string;
let answer: RequestListener;
const signal = new AbortController().signal;

beforeEach(async () => {
  cache = mkdtempSync(join(tmpdir(), 'longtail-fetch-'));
  server = createServer((request, response) => answer(request, response));
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/books/a.txt`;
});
afterEach(async () => {
  server.closeAllConnections();
  await new Promise((resolve) => server.close(resolve));
  rmSync(cache, { recursive: true });
});

test('a file is fetched once, asked for again, and taken from the cache when the server is gone', async () => {
  const statuses: number[] = [];
  answer = (request, response) => {
    const status = request.headers['if-none-match'] === '"v1"' ? 304 : 200;
    statuses.push(status);
    response.writeHead(status, { etag: '"v1"' }).end(status === 200 ? 'content' : undefined);
  };
  const progress: number[] = [];
  const first = await fetchToCache(url, { cache, signal, onProgress: ({ bytes }) => progress.push(bytes) });
  expect(readFileSync(first.path, 'utf8')).toBe('content');
  expect(progress.at(-1)).toBe(7);
  expect(await fetchToCache(url, { cache, signal })).toEqual(first);
  expect(statuses).toEqual([200, 304]);
  server.closeAllConnections();
  await new Promise((resolve) => server.close(resolve));
  expect(await nodeFiles({ cache }).locate(url, signal)).toBe(first.path);
});

test('a changed file replaces what was known', async () => {
  let content = 'old';
  answer = (_, response) => response.writeHead(200, { etag: `"${content}"` }).end(content);
  await fetchToCache(url, { cache, signal });
  content = 'new';
  expect(readFileSync((await fetchToCache(url, { cache, signal })).path, 'utf8')).toBe('new');
});

test.each<[string, RequestListener, object]>([
  ['a file that is not there', (_, response) => response.writeHead(404).end(), { code: 'missing-file' }],
  ['a server in trouble', (_, response) => response.writeHead(503).end(), { code: 'unreachable', message: expect.stringContaining('503') }],
  [
    'a file said to be too large',
    (_, response) => response.writeHead(200, { 'content-length': 5000 }).end('x'.repeat(5000)),
    { code: 'invalid-data' },
  ],
  ['a file that turns out too large', (_, response) => response.write('x'.repeat(5000)), { code: 'invalid-data' }],
  [
    'a connection that breaks',
    (_, response) => response.writeHead(200, { 'content-length': 500 }).write('x', () => response.destroy()),
    { code: 'unreachable' },
  ],
])('%s is an error, and nothing is kept', async (_, listener, error) => {
  answer = listener;
  await expect(fetchToCache(url, { cache, signal, maxBytes: 1000 })).rejects.toMatchObject({ ...error, where: url });
  for (const folder of readdirSync(cache)) expect(readdirSync(join(cache, folder))).toEqual([]);
});

test('an abort ends a fetch in the middle', async () => {
  const controller = new AbortController();
  answer = (_, response) => response.write('x', () => controller.abort(new Error('stop')));
  await expect(fetchToCache(url, { cache, signal: controller.signal })).rejects.toThrow('stop');
});
