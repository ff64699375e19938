import type { DataFile, TensorHeader } from '@longtail/core';
import { expect, test } from 'vitest';
import { FileIntake } from './file-intake.js';

const file: DataFile = { name: 'train.csv', bytes: 10, sha256: 'abc' };

function setUp(here: Record<string, string> = {}) {
  const requested: string[] = [];
  const written: number[] = [];
  const log: string[] = [];
  const intake = new FileIntake(
    {
      find: async ({ sha256 }) => here[sha256],
      receive: async () => ({
        write: async (bytes) => void written.push(...bytes),
        finish: async () => (log.push('finish'), '/cache/abc'),
        abandon: async () => void log.push('abandon'),
      }),
    },
    (sha256) => requested.push(sha256),
  );
  const send = (offset: number, length: number, name = 'abc') => {
    const header = { kind: 'file', name, offset, length } as unknown as TensorHeader;
    return intake.take({ header, payload: Uint8Array.from({ length }, (_, i) => offset + i) });
  };
  return { intake, requested, written, log, send };
}

const never = new AbortController().signal;

test('a file that is here is not asked for', async () => {
  const { intake, requested } = setUp({ abc: '/data/train.csv' });
  expect(await intake.fetch([file], never)).toEqual(new Map([['abc', '/data/train.csv']]));
  expect(requested).toEqual([]);
});

test('a file that is missing comes chunk by chunk; what comes twice or belongs elsewhere changes nothing', async () => {
  const { intake, requested, written, send, log } = setUp();
  const fetched = intake.fetch([file], never);
  await new Promise((resolve) => setImmediate(resolve));
  expect(requested).toEqual(['abc']);
  await send(0, 4);
  await send(0, 4);
  await send(0, 4, 'other');
  await send(4, 4);
  await send(8, 2);
  expect(await fetched).toEqual(new Map([['abc', '/cache/abc']]));
  expect(written).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
  expect(log).toEqual(['finish']);
});

test('a gap is an error, and the half file is dropped', async () => {
  const { intake, send, log } = setUp();
  const fetched = intake.fetch([file], never);
  await new Promise((resolve) => setImmediate(resolve));
  await send(0, 4);
  await send(8, 2);
  await expect(fetched).rejects.toMatchObject({ code: 'protocol', message: 'train.csv: byte 8 came after byte 4' });
  expect(log).toEqual(['abandon']);
});

test('a run that ends in mid-transfer drops the half file', async () => {
  const { intake, send, log } = setUp();
  const stop = new AbortController();
  const fetched = intake.fetch([file], stop.signal);
  await new Promise((resolve) => setImmediate(resolve));
  await send(0, 4);
  stop.abort(new Error('over'));
  await expect(fetched).rejects.toThrow('over');
  expect(log).toEqual(['abandon']);
});

test('a run that ends while room is made for a file asks for none, and waits for none', async () => {
  const { intake, requested, log } = setUp();
  const stop = new AbortController();
  const fetched = intake.fetch([file], stop.signal);
  await Promise.resolve(); // it is known not to be here
  stop.abort(new Error('over'));
  await expect(fetched).rejects.toThrow('over');
  expect(log).toEqual(['abandon']);
  expect(requested).toEqual([]);
});
