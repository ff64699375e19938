import { LongtailError, type TensorHeader } from '@longtail/core';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { LinkFrame, Piece } from './generated/messages.js';
import { LIMITS } from './limits.js';
import { decodeLinkFrame, encodeLinkFrame } from './link-frame.js';
import { checkPayload, toTensorFrame, toTensorHeader } from './tensor-header.js';

const uint32 = fc.integer({ min: 0, max: 0xffffffff });
const text = fc.string({ maxLength: 60 });

const headers: fc.Arbitrary<TensorHeader> = fc
  .record({
    run: text,
    start: fc.nat(),
    kind: fc.constantFrom('gradient', 'parameters', 'state'),
    stage: uint32,
    fragment: uint32,
    task: uint32,
    round: uint32,
    baseVersion: uint32,
    samples: uint32,
    codec: uint32,
    name: text,
    chunks: fc.integer({ min: 1, max: LIMITS.chunksPerTensor }),
    chunkFraction: fc.double({ min: 0, max: 0.999, noNaN: true }),
    offset: fc.integer({ min: 0, max: LIMITS.tensorLength - 0xffffffff }),
    length: uint32,
    crc: uint32,
    step: uint32,
    to: uint32,
  })
  .map(({ chunkFraction, ...header }) => ({ ...header, chunk: Math.floor(chunkFraction * header.chunks) }) as TensorHeader);

const segments = fc.record({ name: text, pid: uint32, fd: uint32, bytes: fc.nat() });

const pieces: fc.Arbitrary<Piece> = fc
  .record({ header: headers, seq: uint32, transfer: uint32, position: fc.nat(), at: fc.nat(1_000_000), bytes: fc.integer({ min: 1, max: 1_000_000 }), rest: fc.nat(1_000_000) })
  .map(({ header, position, at, bytes, rest, ...piece }) => {
    const total = at + bytes + rest;
    return { ...piece, header: toTensorFrame(header), at, bytes, total, position: bytes === total ? position : 0 };
  });

const frames: fc.Arbitrary<LinkFrame> = fc.oneof(
  fc.record({ session: uint32, frame: fc.constant('open' as const), open: fc.record({ key: text, incarnation: text, segment: segments }) }),
  fc.record({ session: uint32, frame: fc.constant('opened' as const), opened: fc.record({ readsSegment: fc.boolean(), segment: segments }) }),
  fc.record({ session: uint32, frame: fc.constant('ready' as const), ready: fc.record({ readsSegment: fc.boolean() }) }),
  fc.record({ session: uint32, frame: fc.constant('piece' as const), piece: pieces }),
  fc.record({ session: uint32, frame: fc.constant('taken' as const), taken: fc.record({ seq: uint32 }) }),
  fc.record({ session: uint32, frame: fc.constant('received' as const), received: fc.record({ seq: uint32, atMs: uint32, share: uint32 }) }),
  fc.record({ session: uint32, frame: fc.constant('idle' as const), idle: fc.record({ padding: text }) }),
  fc.record({ session: uint32, frame: fc.constant('withdrawn' as const), withdrawn: fc.record({ transfer: uint32 }) }),
);

/** CRC-32C, a bit at a time. */
function crc32c(bytes: Uint8Array): number {
  let crc = ~0;
  for (const byte of bytes) {
    crc ^= byte;
    for (let bit = 0; bit < 8; bit++) crc = (crc >>> 1) ^ (crc & 1 ? 0x82f63b78 : 0);
  }
  return ~crc >>> 0;
}

function outcome<T>(attempt: () => T): T | LongtailError {
  try {
    return attempt();
  } catch (error) {
    expect(error).toBeInstanceOf(LongtailError);
    return error as LongtailError;
  }
}

describe('link frames', () => {
  it('come back as they were', () => {
    fc.assert(
      fc.property(frames, (frame) => {
        expect(decodeLinkFrame(encodeLinkFrame(frame))).toEqual(frame);
      }),
    );
  });

  it('are refused when cut short, or are another frame that is valid', () => {
    fc.assert(
      fc.property(frames, fc.double({ min: 0, max: 0.99, noNaN: true }), (frame, fraction) => {
        const bytes = encodeLinkFrame(frame);
        const decoded = outcome(() => decodeLinkFrame(bytes.subarray(0, Math.floor(fraction * bytes.length))));
        if (decoded instanceof LongtailError) expect(decoded.code).toBe('protocol');
        else expect(decoded).not.toEqual(frame);
      }),
    );
  });

  it('never make the reader fail otherwise, whatever bytes come', () => {
    const mutated = fc.tuple(frames, fc.array(fc.tuple(fc.nat(200), fc.nat(255)), { minLength: 1, maxLength: 5 })).map(([frame, changes]) => {
      const bytes = encodeLinkFrame(frame).slice();
      for (const [at, value] of changes) if (at < bytes.length) bytes[at] = value;
      return bytes;
    });
    fc.assert(
      fc.property(fc.oneof(mutated, fc.uint8Array({ maxLength: 200 })), (bytes) => {
        const frame = outcome(() => decodeLinkFrame(bytes));
        if (!(frame instanceof LongtailError) && frame.frame === 'piece') outcome(() => toTensorHeader(frame.piece.header));
      }),
      { numRuns: 1_000 },
    );
  });

  it.each([
    [{ total: LIMITS.chunkBytes + 1 }, 'Piece.total'],
    [{ at: 60, bytes: 50, total: 100 }, 'Piece.bytes'],
    [{ at: 0, bytes: 0, total: 100 }, 'Piece.bytes'],
    [{ header: toTensorFrame({ ...aHeader(), kind: 'file', name: '0'.repeat(64), length: 99 }) }, 'Piece.total'],
    [{ position: 0.5 }, 'Piece.position'],
    [{ position: 2 ** 53 }, 'Piece.position'],
    [{ position: 4_096, bytes: 50 }, 'Piece.position'],
  ])('refuse a piece that cannot be: %o', (changes, where) => {
    const piece: Piece = { seq: 1, transfer: 1, header: toTensorFrame(aHeader()), at: 0, bytes: 100, total: 100, position: 0, ...changes };
    expect(outcome(() => decodeLinkFrame(encodeLinkFrame({ session: 1, frame: 'piece', piece })))).toMatchObject({ code: 'protocol', where });
  });

  it('refuse more bytes than a frame can have', () => {
    expect(outcome(() => decodeLinkFrame(new Uint8Array(LIMITS.linkFrameBytes + 1)))).toMatchObject({ code: 'protocol', where: 'LinkFrame' });
  });
});

describe('tensor headers', () => {
  it('come back as they were', () => {
    fc.assert(
      fc.property(headers, (header) => {
        expect(toTensorHeader(toTensorFrame(header))).toEqual(header);
      }),
    );
  });

  it.each([
    ['kind', 'KIND_UNSPECIFIED'],
    ['run', 'r'.repeat(LIMITS.headerText + 1)],
    ['name', 'n'.repeat(LIMITS.headerText + 1)],
    ['chunks', 0],
    ['chunks', LIMITS.chunksPerTensor + 1],
    ['chunk', 1],
    ['offset', -1],
    ['offset', 0.5],
    ['offset', Infinity],
    ['offset', NaN],
    ['offset', LIMITS.tensorLength + 1],
  ])('with %s = %o are refused by that name', (field, value) => {
    expect(outcome(() => toTensorHeader({ ...toTensorFrame(aHeader()), [field]: value }))).toMatchObject({ code: 'protocol', where: `tensor.${field}` });
  });

  it('of a file are refused without its sha256', () => {
    expect(outcome(() => toTensorHeader(toTensorFrame({ ...aHeader(), kind: 'file', name: 'data.bin' })))).toMatchObject({ where: 'tensor.name' });
  });

  it('tell every change of one bit in a payload', () => {
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 1, maxLength: 300 }), fc.nat(), (payload, position) => {
        const header = { ...aHeader(), crc: crc32c(payload) };
        checkPayload(header, payload, crc32c);
        const bit = position % (payload.length * 8);
        payload[bit >> 3]! ^= 1 << (bit & 7);
        expect(outcome(() => checkPayload(header, payload, crc32c))).toMatchObject({ code: 'checksum', where: 'tensor.crc' });
      }),
    );
  });
});

function aHeader(): TensorHeader {
  return {
    run: 'r',
    kind: 'gradient',
    stage: 0,
    fragment: 0,
    task: 1,
    round: 1,
    baseVersion: 0,
    samples: 1,
    codec: 0,
    name: '',
    start: 0,
    chunk: 0,
    chunks: 1,
    offset: 0,
    length: 25,
    crc: 0,
  };
}
