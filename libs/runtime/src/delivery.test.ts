import type { TensorHeader } from '@longtail/core';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { Delivery } from './delivery.js';
import { BufferPool } from './encoded-tensor.js';
import { chunkSpan, gridOf } from './grid.js';
import { NormBound } from './norm-bound.js';

const grid = gridOf(10, 4);

/** Bytes stand for themselves: a chunk of `length` values is `length` bytes, 255 is not finite. */
function delivery(normBound?: NormBound, pool = new BufferPool(2)) {
  const tensors = [{ kind: 'gradient', fragment: 0, codec: { id: 7, maxBytes: (length: number) => length }, grid, start: 0 } as const];
  return new Delivery(
    { worker: 0, round: 3, baseVersion: 2, samples: 5, tensors, normBound },
    ({ bytes }, length) => {
      if (bytes.length !== length) throw new Error('wrong size');
      return { finite: !bytes.includes(255), sumOfSquares: bytes.reduce((sum, byte) => sum + byte * byte, 0) };
    },
    pool,
  );
}

function boundOf(most: number): NormBound {
  return new NormBound(most, ({ length }, contributions) => {
    const sums = Array.from({ length }, (_, i) => contributions.reduce((sum, { bytes }) => sum + bytes[i]!, 0));
    return { finite: true, sumOfSquares: sums.reduce((sum, value) => sum + value * value, 0) };
  });
}

function chunkOf(chunk: number, changes: Partial<TensorHeader> = {}, fill = 1) {
  const { offset, length } = chunkSpan(grid, chunk);
  const header = {
    run: 'r',
    kind: 'gradient',
    stage: 0,
    fragment: 0,
    task: 1,
    round: 3,
    baseVersion: 2,
    samples: 5,
    codec: 7,
    name: '',
    start: 0,
    chunk,
    chunks: 3,
    offset,
    length,
    crc: 0,
  } as const;
  return { header: { ...header, ...changes }, payload: new Uint8Array(length).fill(fill) };
}

test('chunks in any order, some of them twice, make a whole delivery of the first ones', () => {
  fc.assert(
    fc.property(fc.shuffledSubarray([0, 0, 1, 1, 2, 2], { minLength: 6 }), (order) => {
      const whole = delivery();
      const seen = new Set<number>();
      for (const [i, chunk] of order.entries()) {
        expect(whole.take(chunkOf(chunk, {}, i + 1)).verdict).toBe(seen.has(chunk) ? 'ignored' : 'taken');
        seen.add(chunk);
        expect(whole.complete).toBe(seen.size === 3);
      }
      for (const chunk of [0, 1, 2]) expect(whole.bytes('gradient', 0, chunk)[0]).toBe(order.indexOf(chunk) + 1);
    }),
  );
});

test.each<[string, Partial<TensorHeader>, RegExp]>([
  ['another worker', { stage: 1 }, /worker 1 of the group/],
  ['another round', { round: 4 }, /round 4 is not the round 3/],
  ['another version', { baseVersion: 1 }, /based on version 1/],
  ['another codec', { codec: 8 }, /codec 8 instead of 7/],
  ['other samples', { samples: 6 }, /6 samples instead of 5/],
  ['another count of chunks', { chunks: 4 }, /expected 3 chunks/],
  ['a chunk beyond the end', { chunk: 3 }, /chunk 3 of 3/],
  ['another offset', { offset: 5 }, /covers 4 values from 5, expected 4 from 4/],
  ['another place in the vector', { start: 3 }, /lies at 3 of the worker's vector, expected at 0/],
  ['another length', { length: 3 }, /covers 3 values/],
  ['a tensor nobody asked for', { kind: 'state' }, /no state 0 was asked for/],
  ['a fragment nobody asked for', { fragment: 1 }, /no gradient 1 was asked for/],
])('refuses %s', (_what, changes, reason) => {
  const verdict = delivery().take(chunkOf(1, changes));
  expect(verdict).toMatchObject({ verdict: 'refused', nonFinite: false, reason: expect.stringMatching(reason) as string });
});

test('refuses values that are not finite, and says that this is why', () => {
  expect(delivery().take(chunkOf(1, {}, 255))).toMatchObject({ verdict: 'refused', nonFinite: true });
});

test('refuses bytes that are no coding of the values', () => {
  const { header } = chunkOf(1);
  expect(delivery().take({ header, payload: new Uint8Array(3) })).toMatchObject({ verdict: 'refused', reason: 'chunk 1: wrong size' });
});

test('the norm counts over all chunks together', () => {
  const bounded = delivery(boundOf(3));
  expect(bounded.take(chunkOf(0)).verdict).toBe('taken');
  expect(bounded.take(chunkOf(1)).verdict).toBe('taken');
  expect(bounded.take(chunkOf(2))).toMatchObject({ verdict: 'refused', reason: 'norm 3.16 exceeds the bound 3.00' });
});

test('the norm is that of the contribution: parts of its own count beside each other, what several send as their sum', () => {
  // Two replicas of a stage, each with ten ones: together ten twos, of norm √40.
  for (const [most, verdict] of [[6.4, 'taken'], [6.3, 'refused']] as const) {
    const bound = boundOf(most);
    const [first, second] = [delivery(bound), delivery(bound)];
    for (const chunk of [0, 1, 2]) expect(first.take(chunkOf(chunk)).verdict).toBe('taken');
    for (const chunk of [0, 1]) expect(second.take(chunkOf(chunk)).verdict).toBe('taken');
    expect(second.take(chunkOf(2)).verdict).toBe(verdict);
  }
});

test('memory is lent for chunks that are expected, once, and goes back with `dispose`', () => {
  const pool = new BufferPool(2);
  const first = delivery(undefined, pool);
  const [a, b] = [first.place(chunkOf(0).header, 4)!, first.place(chunkOf(1).header, 4)!];
  expect(a.buffer).toBe(b.buffer);
  expect(b.byteOffset - a.byteOffset).toBe(4);
  expect(first.place(chunkOf(0).header, 5)).toBeUndefined();
  expect(first.place(chunkOf(0, { round: 9 }).header, 4)).toBeUndefined();
  first.take({ ...chunkOf(0), payload: a });
  expect(first.place(chunkOf(0).header, 4)).toBeUndefined();
  first.dispose();
  expect(delivery(undefined, pool).place(chunkOf(2).header, 2)!.buffer).toBe(a.buffer);
});

test('a chunk of more bytes than its values can take is refused, and finds no memory', () => {
  const { header } = chunkOf(2);
  const payload = new Uint8Array(5);
  expect(delivery().place(header, 5)).toBeUndefined();
  expect(delivery().take({ header, payload })).toMatchObject({
    verdict: 'refused',
    reason: 'chunk 2 has 5 bytes, 2 values take 2 at most',
  });
});

test('memory that somebody still reads is lent to others after that', async () => {
  const pool = new BufferPool(2);
  const lent = pool.take(12);
  pool.give(lent);
  const read = delivery(undefined, pool);
  expect(read.place(chunkOf(0).header, 4)!.buffer).toBe(lent.buffer);
  let done = (): void => undefined;
  read.keepUntil(new Promise((resolve) => (done = resolve)));
  read.dispose();
  expect(pool.take(12).buffer).not.toBe(lent.buffer);
  done();
  await Promise.resolve();
  expect(pool.take(12).buffer).toBe(lent.buffer);
});

test('what is lent is held from when it is taken until `dispose`', () => {
  let holders = 0;
  const loan = { hold: () => void holders++, release: () => void holders-- };
  const whole = delivery();
  for (const chunk of [0, 0, 1]) whole.take({ ...chunkOf(chunk), loan });
  whole.take({ ...chunkOf(2, { round: 9 }), loan });
  expect(holders).toBe(2);
  whole.dispose();
  whole.dispose();
  expect(holders).toBe(0);
});
