import type { FileHandle } from 'node:fs/promises';
import { expect, test } from 'vitest';
import { readFully, writeFully } from './atomic.js';

/** Its pages take no memory: nobody touches them. */
const LARGE = new Uint8Array(2 ** 32);
/** Beyond this Node throws where it writes, and aborts the process where it reads. */
const MOST = 2 ** 31 - 1;

/** A file of all bytes that are asked for; what is read and written of it goes behind one another. */
function endless(): { readonly file: Pick<FileHandle, 'read' | 'write'>; readonly reached: () => number } {
  let reached = 0;
  const take = (offset: number, length: number, position: number | null): number => {
    expect(length).toBeLessThanOrEqual(MOST);
    expect([offset, position]).toEqual([reached, reached + 7]);
    reached += length;
    return length;
  };
  const file = {
    read: async (buffer: Uint8Array, offset: number, length: number, position: number) => ({ buffer, bytesRead: take(offset, length, position) }),
    write: async (buffer: Uint8Array, offset: number, length: number, position: number | null) => ({ buffer, bytesWritten: take(offset, length, position) }),
  };
  return { file: file as unknown as Pick<FileHandle, 'read' | 'write'>, reached: () => reached };
}

test('a vector of more bytes than one call takes is written and read whole', async () => {
  const written = endless();
  await writeFully(written.file, LARGE, 7);
  expect(written.reached()).toBe(LARGE.length);
  const read = endless();
  expect(await readFully(read.file, LARGE, 7)).toBe(true);
  expect(read.reached()).toBe(LARGE.length);
});

test('a file that ends too early is told', async () => {
  const ofBytes = (bytes: number): Pick<FileHandle, 'read'> =>
    ({ read: async (buffer: Uint8Array, _offset: number, _length: number, position: number) => ({ buffer, bytesRead: position < bytes ? 1 : 0 }) }) as unknown as Pick<FileHandle, 'read'>;
  expect(await readFully(ofBytes(10), LARGE.subarray(0, 3), 7)).toBe(true);
  expect(await readFully(ofBytes(9), LARGE.subarray(0, 3), 7)).toBe(false);
});
