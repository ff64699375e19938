import { appendFileSync, mkdtempSync, readFileSync, rmSync, truncateSync, writeFileSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { RunEvent, StoredEvent } from '@longtail/core';
import fc from 'fast-check';
import { afterAll, expect, test } from 'vitest';
import { openEventLog, readEvents } from './event-log.js';

const folder = mkdtempSync(join(tmpdir(), 'longtail-log-'));
afterAll(() => rmSync(folder, { recursive: true }));

let files = 0;
const newPath = (): string => join(folder, `${files++}`, 'events.jsonl');
const warning = (message: string): RunEvent => ({ event: 'warning', run: 'r', message, hint: '' });
const messages = (events: readonly StoredEvent[]): string[] =>
  events.map(({ body }) => (body.event === 'warning' ? body.message : body.event));

test('events come back in order, numbered, with times that never go back', async () => {
  const path = newPath();
  const times = [5, 9, 7];
  const log = openEventLog(path, { now: () => times.shift()! });
  for (const message of ['a', 'b\n', '\u2028ü']) log.append(warning(message));
  await log.close();
  const events = await readEvents(path);
  expect(messages(events)).toEqual(['a', 'b\n', '\u2028ü']);
  expect(events.map(({ seq, timeMs }) => [seq, timeMs])).toEqual([
    [1, 5],
    [2, 9],
    [3, 9],
  ]);
  expect(() => log.append(warning('late'))).toThrow(/closed/);
});

test('a log goes on where it was closed', async () => {
  const path = newPath();
  for (const message of ['a', 'b', 'c']) {
    const log = openEventLog(path, { now: () => 1 });
    log.append(warning(message));
    await log.close();
  }
  expect((await readEvents(path)).map(({ seq }) => seq)).toEqual([1, 2, 3]);
});

test('readers get what is there and then what comes, from the event they ask for', async () => {
  const log = openEventLog(newPath(), { now: () => 0 });
  log.append(warning('1'));
  log.append(warning('2'));
  const collect = async (fromSeq: number): Promise<string[]> => {
    const seen: StoredEvent[] = [];
    for await (const event of log.read(fromSeq, new AbortController().signal)) seen.push(event);
    return messages(seen);
  };
  const readers = [0, 1, 2, 3, 5].map(collect);
  await new Promise(setImmediate);
  const long = 'x'.repeat(200_000);
  for (const message of ['3', long, '5']) log.append(warning(message));
  await new Promise(setImmediate);
  await log.close();
  const all = ['1', '2', '3', long, '5'];
  expect(await Promise.all(readers)).toEqual([all, all, all.slice(1), all.slice(2), all.slice(4)]);
});

test('an abort ends a reader that waits', async () => {
  const log = openEventLog(newPath(), { now: () => 0 });
  const controller = new AbortController();
  const reader = log.read(1, controller.signal)[Symbol.asyncIterator]();
  const next = reader.next();
  controller.abort();
  expect(await next).toEqual({ done: true, value: undefined });
  await log.close();
});

test('a log cut anywhere opens with the events that are whole, and goes on', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.string({ unit: 'binary', maxLength: 8 }), { minLength: 1, maxLength: 6 }),
      fc.double({ min: 0, max: 1, noNaN: true }),
      async (texts, where) => {
        const path = newPath();
        const log = openEventLog(path, { now: () => 0 });
        texts.forEach((message) => log.append(warning(message)));
        await log.close();
        const bytes = readFileSync(path);
        const cut = Math.floor(bytes.length * where);
        truncateSync(path, cut);
        const whole = bytes.subarray(0, cut).filter((byte) => byte === 0x0a).length;
        const again = openEventLog(path, { now: () => 0 });
        again.append(warning('again'));
        await again.close();
        expect(messages(await readEvents(path))).toEqual([...texts.slice(0, whole), 'again']);
      },
    ),
    { numRuns: 30 },
  );
});

test('zeros that a power cut left behind the last line are removed', async () => {
  const path = newPath();
  const log = openEventLog(path, { now: () => 0 });
  log.append(warning('a'));
  await log.close();
  appendFileSync(path, `${'\0'.repeat(30)}\n`);
  const again = openEventLog(path, { now: () => 0 });
  again.append(warning('b'));
  await again.close();
  expect(messages(await readEvents(path))).toEqual(['a', 'b']);
});

test('damage before the last line is named, not repaired', async () => {
  const path = newPath();
  const log = openEventLog(path, { now: () => 0 });
  for (const message of ['a', 'b', 'c']) log.append(warning(message));
  await log.close();
  writeFileSync(path, readFileSync(path, 'utf8').replace('"seq":2', '"seq":7'));
  expect(() => openEventLog(path, { now: () => 0 })).toThrow(expect.objectContaining({ code: 'storage', where: `${path}:2` }));
  await expect(readEvents(path)).rejects.toMatchObject({ code: 'storage' });
});

test('a full disk is a storage error, and leaves no half line', async () => {
  const path = newPath();
  let room = 120;
  const log = openEventLog(path, {
    now: () => 0,
    write: (fd, bytes) => {
      if (room === 0) throw Object.assign(new Error('ENOSPC: no space left on device, write'), { code: 'ENOSPC' });
      const written = writeSync(fd, bytes.subarray(0, room));
      room -= written;
      return written;
    },
  });
  log.append(warning('fits'));
  expect(() => log.append(warning('does not fit'))).toThrow(
    expect.objectContaining({ code: 'storage', where: path, hint: expect.stringContaining('Free some space') }),
  );
  room = 1000;
  log.append(warning('fits again'));
  await log.close();
  expect(messages(await readEvents(path))).toEqual(['fits', 'fits again']);
});

test('a missing log is named', async () => {
  await expect(readEvents(join(folder, 'none'))).rejects.toMatchObject({ code: 'missing-file', where: join(folder, 'none') });
});
