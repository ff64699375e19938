import type { Codec, TensorHeader } from '@longtail/core';
import { expect, test } from 'vitest';
import { StageInbox } from './stage-inbox.js';

const codec = { id: 0, name: 'fp32', decode: (bytes: Uint8Array, out: Float32Array) => out.set(bytes) } as unknown as Codec;
const never = new AbortController().signal;

function chunk(task: number, microbatch: number, start: number, values: readonly number[], changes: Partial<TensorHeader> = {}) {
  const header: TensorHeader = {
    run: 'r',
    kind: 'activation',
    stage: 1,
    fragment: microbatch,
    task,
    round: 1,
    baseVersion: 0,
    samples: 2,
    codec: 0,
    name: '2x3',
    start,
    chunk: 0,
    chunks: 1,
    offset: 0,
    length: values.length,
    crc: 0,
    ...changes,
  };
  return { header, payload: Uint8Array.from(values) };
}

const step = (task: number, step = 0) => ({ task, step });

test('a tensor is put together from chunks in any order, before or after somebody waits for it', async () => {
  const inbox = new StageInbox([codec], 0);
  inbox.put(chunk(1, 0, 4, [5, 6]));
  const waited = inbox.take(step(1), 'activation', 1, 0, never);
  inbox.put(chunk(1, 0, 0, [1, 2, 3, 4]));
  expect(await waited).toEqual({ dtype: 'float32', shape: [2, 3], data: Float32Array.of(1, 2, 3, 4, 5, 6) });
});

test('what comes twice counts once, also after the tensor was taken', async () => {
  const inbox = new StageInbox([codec], 0);
  inbox.put(chunk(1, 0, 0, [1, 2, 3]));
  inbox.put(chunk(1, 0, 0, [9, 9, 9]));
  inbox.put(chunk(1, 0, 3, [4, 5, 6]));
  expect((await inbox.take(step(1), 'activation', 1, 0, never)).data).toEqual(Float32Array.of(1, 2, 3, 4, 5, 6));
  inbox.put(chunk(1, 0, 0, [1, 2, 3]));
});

test('what belongs to a task that is over, or to a place before, is dropped; a wait ends with the abort', async () => {
  const inbox = new StageInbox([codec], 4);
  inbox.put(chunk(4, 0, 0, [1, 2, 3, 4, 5, 6]));
  inbox.put(chunk(5, 0, 0, [1, 2, 3, 4, 5, 6]));
  inbox.close(5);
  inbox.put(chunk(5, 1, 0, [1, 2, 3, 4, 5, 6]));
  const abort = new AbortController();
  const waited = inbox.take(step(6), 'activation', 1, 0, abort.signal);
  abort.abort(new Error('called off'));
  await expect(waited).rejects.toThrow('called off');
});

test.each<[string, Partial<TensorHeader>, RegExp]>([
  ['a shape that is none', { name: '2x' }, /has the shape 2x/],
  ['more values than its shape', { start: 5 }, /is longer than its shape 2x3/],
  ['a codec nobody knows', { codec: 7 }, /comes in codec 7/],
])('%s is an error', (_what, changes, message) => {
  expect(() => new StageInbox([codec], 0).put(chunk(1, 0, 0, [1, 2, 3], changes))).toThrow(message);
});

test('tensors of a few steps wait, not of many', () => {
  const inbox = new StageInbox([codec], 0);
  for (let task = 1; task <= 4; task++) inbox.put(chunk(task, 0, 0, [1]));
  expect(() => inbox.put(chunk(5, 0, 0, [1]))).toThrow('tensors of more than 4 steps wait');
});

test('an inner step that is over is dropped with those before it; the next one waits', async () => {
  const inbox = new StageInbox([codec], 0);
  const values = [1, 2, 3, 4, 5, 6];
  for (const number of [0, 1, 2]) inbox.put(chunk(1, 0, 0, values, { step: number }));
  inbox.closeStep(step(1, 1));
  inbox.put(chunk(1, 0, 0, values, { step: 1 }));
  expect((await inbox.take(step(1, 2), 'activation', 1, 0, never)).data).toHaveLength(6);
  inbox.put(chunk(2, 0, 0, values, { kind: 'peer', stage: 2 }));
  inbox.close(1);
  expect((await inbox.take(step(2), 'peer', 2, 0, never)).data).toHaveLength(6);
});
