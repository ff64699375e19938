import { expect, test } from 'vitest';
import { BufferPool, EncodedTensor } from './encoded-tensor.js';
import { gridOf } from './grid.js';

function tensor(pool = new BufferPool(2)) {
  const order: number[] = [];
  const encoded = new EncodedTensor(
    gridOf(10, 4),
    1,
    0,
    8,
    ({ length }, out, chunk) => {
      order.push(chunk);
      out.fill(chunk + 1, 0, 2 * length);
      return 2 * length;
    },
    pool,
  );
  return { encoded, order };
}

test('chunks are coded once, in order, whoever asks first', () => {
  const { encoded, order } = tensor();
  expect([...encoded.bytes(8)]).toEqual([3, 3, 3, 3]);
  expect([...encoded.bytes(0)]).toEqual(new Array(8).fill(1));
  expect(order).toEqual([0, 1, 2]);
  expect(encoded.complete).toBe(true);
});

test('a buffer is used again only after it was retired and everybody has acknowledged it', () => {
  const pool = new BufferPool(2);
  const { encoded } = tensor(pool);
  encoded.hold();
  encoded.hold();
  const first = encoded.bytes(8).buffer;
  encoded.release(true);
  encoded.retire();
  expect(tensor(pool).encoded.bytes(8).buffer).not.toBe(first);
  encoded.release(true);
  expect(tensor(pool).encoded.bytes(8).buffer).toBe(first);
});

test('a buffer that somebody did not acknowledge is never used again: a socket may still read it', () => {
  const pool = new BufferPool(2);
  const { encoded } = tensor(pool);
  encoded.hold();
  const first = encoded.bytes(8).buffer;
  encoded.retire();
  encoded.release(false);
  expect(tensor(pool).encoded.bytes(8).buffer).not.toBe(first);
});

test('a pool keeps as many buffers as it may, of the size asked for last', () => {
  const pool = new BufferPool(2);
  const given = [8, 8, 8, 16].map((bytes) => new Uint8Array(bytes));
  for (const buffer of given) pool.give(buffer);
  expect(new Set([pool.take(8), pool.take(8)])).toEqual(new Set(given.slice(0, 2)));
  expect(given).not.toContain(pool.take(8));
});

test('a buffer is not used again while somebody holds it, who was sent it before', () => {
  const pool = new BufferPool(2);
  const { encoded } = tensor(pool);
  encoded.hold();
  const { loan } = encoded.outgoing({} as never);
  const first = encoded.bytes(8).buffer;
  loan!.hold();
  encoded.release(true);
  encoded.retire();
  expect(tensor(pool).encoded.bytes(8).buffer).not.toBe(first);
  loan!.release();
  expect(tensor(pool).encoded.bytes(8).buffer).toBe(first);
});
