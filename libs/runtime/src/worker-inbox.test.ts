import type { Codec, Compute, Prepared, TensorHeader, TensorKind } from '@longtail/core';
import { expect, test } from 'vitest';
import { chunkSpan, gridOf } from './grid.js';
import { WorkerInbox } from './worker-inbox.js';

const grid = gridOf(6, 4);
const codec = (id: number, name: Codec['name']) =>
  ({ id, name, decode: (bytes: Uint8Array, out: Float32Array) => out.set(bytes) }) as unknown as Codec;

function setUp() {
  const calls: string[] = [];
  const state = [new Float32Array(6)];
  const asked = { forMoments: false };
  const prepared = {
    parameters: new Float32Array(6),
    get state() {
      asked.forMoments = true;
      return state;
    },
  } as unknown as Prepared;
  const compute = {
    loadParameters: async () => void calls.push('parameters'),
    loadLent: async (values: Float32Array) => void calls.push(`lent ${values[0]}`),
    loadState: async (steps: number) => void calls.push(`state ${steps}`),
  } as unknown as Compute;
  const inbox = new WorkerInbox(prepared, compute, [codec(0, 'fp32'), codec(1, 'fp16')], 4);
  const chunk = (kind: TensorKind, transfer: number, version: number, index: number, codecId = 0, place: Partial<TensorHeader> = {}) => {
    const { offset, length } = chunkSpan(grid, index);
    const header = {
      run: 'r',
      kind,
      stage: 0,
      fragment: 0,
      task: transfer,
      round: 0,
      baseVersion: version,
      samples: 0,
      codec: codecId,
      name: '',
      start: 0,
      chunk: index,
      chunks: 2,
      offset,
      length,
      crc: 0,
      ...place,
    };
    inbox.take({ header, payload: new Uint8Array(length).fill(version) });
  };
  const whole = (kind: TensorKind, transfer: number, version: number, codecId?: number) =>
    [0, 1].forEach((index) => chunk(kind, transfer, version, index, codecId));
  const lend = (transfer: number, version: number, place: Partial<TensorHeader> = {}) => {
    const values = new Float32Array(6).fill(version);
    const loan = { holders: 0, hold: () => void loan.holders++, release: () => void loan.holders-- };
    for (const index of [0, 1]) {
      const { offset, length } = chunkSpan(grid, index);
      const header = { run: 'r', kind: 'parameters', stage: 0, fragment: 0, task: transfer, round: 0, baseVersion: version, samples: 0, codec: 0, name: '', start: 0, chunk: index, chunks: 2, offset, length, crc: 0 } as const;
      inbox.take({ header: { ...header, ...place }, payload: new Uint8Array(values.buffer, 4 * offset, 4 * length), loan });
    }
    return { values, loan };
  };
  return { inbox, prepared, asked, calls, chunk, whole, lend };
}

test('values that came twice before anybody took them are named once', () => {
  const { inbox, whole } = setUp();
  whole('parameters', 1, 5);
  whole('parameters', 2, 6);
  expect(inbox.takeArrived()).toEqual([{ start: 0, length: 6 }]);
  expect(inbox.hasArrived).toBe(false);
});

test('parameters are there once every chunk is, and are loaded once', async () => {
  const { inbox, prepared, calls, chunk } = setUp();
  chunk('parameters', 1, 5, 1);
  expect(inbox.hasParameters(5)).toBe(false);
  chunk('parameters', 1, 5, 1);
  chunk('parameters', 1, 5, 0);
  expect(inbox.hasParameters(5)).toBe(true);
  expect([...prepared.parameters]).toEqual([5, 5, 5, 5, 5, 5]);
  await inbox.loadParameters(5);
  await inbox.loadParameters(5);
  expect(calls).toEqual(['parameters']);
});

test('a newer transfer takes the place of an older one; chunks of the older one are stale then', () => {
  const { inbox, prepared, chunk } = setUp();
  chunk('parameters', 1, 5, 0);
  chunk('parameters', 2, 6, 0);
  chunk('parameters', 1, 5, 1);
  chunk('parameters', 2, 6, 1);
  expect(inbox.hasParameters(6)).toBe(true);
  expect([...prepared.parameters]).toEqual([6, 6, 6, 6, 6, 6]);
});

test('local steps need full precision and the moments that belong to the version', async () => {
  const { inbox, calls, whole } = setUp();
  whole('parameters', 1, 5, 1);
  whole('state', 2, 5);
  expect(inbox.hasParameters(5)).toBe(true);
  expect(inbox.hasAll(5, 10)).toBe(false);
  whole('parameters', 3, 5, 0);
  expect(inbox.hasAll(5, 10)).toBe(true);
  await inbox.loadAll(5, 10);
  expect(calls).toEqual(['parameters', 'state 10']);
});

test('memory for moments is asked for once it is of use', async () => {
  const { inbox, asked, whole } = setUp();
  whole('parameters', 1, 5);
  await inbox.loadParameters(5);
  inbox.moved();
  expect(asked.forMoments).toBe(false);
  whole('state', 2, 5);
  expect(asked.forMoments).toBe(true);
});

test('before the first step the moments are zeros and need not be sent', async () => {
  const { inbox, prepared, calls } = setUp();
  prepared.state[0]!.fill(9);
  inbox.drew();
  expect(inbox.hasAll(0, 0)).toBe(true);
  await inbox.loadAll(0, 0);
  expect([...prepared.state[0]!]).toEqual([0, 0, 0, 0, 0, 0]);
  expect(calls).toEqual(['parameters', 'state 0']);
});

test('the device goes on from its own result, until the server refuses it', async () => {
  const { inbox, calls, whole } = setUp();
  whole('parameters', 1, 5);
  whole('state', 2, 5);
  inbox.stepped(40, 6);
  expect(inbox.hasAll(6, 10)).toBe(true);
  expect(inbox.hasParameters(5)).toBe(false);
  await inbox.loadAll(6, 10);
  expect(calls).toEqual([]);
  inbox.judged(40, false); // for now: a chunk came twice
  expect(inbox.hasAll(6, 10)).toBe(false);
  inbox.judged(40, true);
  expect(inbox.hasAll(6, 10)).toBe(true);
  whole('parameters', 3, 6);
  expect(inbox.hasAll(6, 10)).toBe(false); // the moments are those of its own result, of which nothing is known any more
});

test('a chunk that fits nowhere is an error that names it', () => {
  const { inbox } = setUp();
  const header = {
    run: 'r',
    kind: 'parameters',
    stage: 0,
    fragment: 0,
    task: 1,
    round: 0,
    baseVersion: 1,
    samples: 0,
    codec: 0,
    name: '',
    start: 0,
    chunk: 0,
    chunks: 3,
    offset: 0,
    length: 4,
    crc: 0,
  } as const;
  expect(() => inbox.take({ header, payload: new Uint8Array(4) })).toThrow('chunk 0 of 3 of parameters does not fit the model');
  expect(() => inbox.take({ header: { ...header, kind: 'state', fragment: 1 }, payload: new Uint8Array(4) })).toThrow('no state 1');
});

test('a difference is added to the version before, chunk by chunk, and is no version until it is whole', async () => {
  const { inbox, prepared, chunk, whole } = setUp();
  whole('parameters', 1, 5);
  chunk('difference', 2, 6, 1, 1);
  expect(inbox.hasParameters(5)).toBe(false);
  chunk('difference', 2, 6, 1, 1);
  chunk('difference', 2, 6, 0, 1);
  expect(inbox.hasParameters(6)).toBe(true);
  expect([...prepared.parameters]).toEqual([11, 11, 11, 11, 11, 11]);
});

test('a difference follows what was drawn here, and what was stepped to', () => {
  const { inbox, prepared, whole } = setUp();
  inbox.drew();
  whole('difference', 1, 1);
  expect([...prepared.parameters]).toEqual([1, 1, 1, 1, 1, 1]);
  inbox.stepped(9, 4);
  whole('difference', 2, 5);
  expect(inbox.hasParameters(5)).toBe(true);
  expect([...prepared.parameters]).toEqual([6, 6, 6, 6, 6, 6]);
});

test('a difference to another version than the one that is here is refused', () => {
  const { chunk, whole } = setUp();
  whole('parameters', 1, 5);
  expect(() => chunk('difference', 2, 7, 0)).toThrow('does not hold the one before');
});

test('a fragment replaces its part of the version before, and is handed on once it is whole', () => {
  const { inbox, prepared, chunk, whole } = setUp();
  expect(() => chunk('fragment', 1, 6, 0)).toThrow('does not hold the one before');
  whole('parameters', 2, 5);
  expect(inbox.takeArrived()).toEqual([{ start: 0, length: 6 }]);
  chunk('fragment', 3, 6, 0, 0, { chunks: 1, start: 1 });
  expect([...prepared.parameters]).toEqual([5, 6, 6, 6, 6, 5]);
  expect([inbox.hasReached(5), inbox.hasReached(6), inbox.hasReached(7)]).toEqual([true, true, false]);
  expect(inbox.takeArrived()).toEqual([{ start: 1, length: 4 }]);
  expect(inbox.hasArrived).toBe(false);
});

test('nothing is handed on while a part is half written: it may be the same', () => {
  const { inbox, prepared, chunk, whole } = setUp();
  whole('parameters', 1, 5);
  inbox.takeArrived();
  chunk('fragment-difference', 2, 6, 1);
  expect([inbox.hasArrived, inbox.hasReached(5)]).toEqual([false, false]);
  chunk('fragment-difference', 2, 6, 0);
  expect(inbox.hasArrived).toBe(true);
  expect([...prepared.parameters]).toEqual([11, 11, 11, 11, 11, 11]);
});

test('lent parameters stay where they are, and are held until others come', async () => {
  const { inbox, prepared, calls, lend } = setUp();
  const [first, second] = [lend(1, 5), lend(2, 6)];
  expect([first.loan.holders, second.loan.holders]).toEqual([0, 1]);
  expect(inbox.values.buffer).toBe(second.values.buffer);
  await inbox.loadParameters(6);
  expect(calls).toEqual(['lent 6']);
  expect([...prepared.parameters]).toEqual([0, 0, 0, 0, 0, 0]);
  inbox.drew();
  expect(second.loan.holders).toBe(0);
  expect(inbox.values).toBe(prepared.parameters);
});

test('lent parameters are copied before they change, or where a stream takes them', () => {
  const { inbox, prepared, whole, lend } = setUp();
  const { values, loan } = lend(1, 5);
  whole('difference', 2, 6);
  expect([...prepared.parameters]).toEqual([11, 11, 11, 11, 11, 11]);
  expect([...values]).toEqual([5, 5, 5, 5, 5, 5]);
  expect(loan.holders).toBe(0);
  const streamed = lend(3, 7);
  inbox.takeArrived();
  expect([...prepared.parameters]).toEqual([7, 7, 7, 7, 7, 7]);
  expect(streamed.loan.holders).toBe(0);
});
