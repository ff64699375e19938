import type { CodecName } from '@longtail/core';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { CODEC_IDS, CodecTable, createCodec } from './codec.js';
import { createKernels } from './create-kernels.js';
import { BLOCK_LENGTH } from './kernels.js';
import { greatest } from './testing/greatest.js';

const wasm = createKernels({ vectors: [BLOCK_LENGTH] });
const reference = createKernels({ implementation: 'reference' });
const names = ['fp32', 'fp16', 'bf16'] as const;

/** float32 by its bits: every exponent is as likely as any other. */
const anyFloat = fc.integer({ min: 0, max: 0xffffffff }).map((bits) => new Float32Array(Uint32Array.of(bits).buffer)[0]!);

function bitsOf(value: number): number {
  return new Uint32Array(Float32Array.of(value).buffer)[0]!;
}

describe.each(names)('%s', (name) => {
  const codec = createCodec(name, wasm);
  const oracle = createCodec(name, reference);

  it('codes and decodes to the same bits as the reference, at any length and alignment', () => {
    fc.assert(
      fc.property(fc.array(anyFloat, { maxLength: 40 }), fc.nat({ max: 3 }), (list, shift) => {
        const values = Float32Array.from(list, (value) => (Number.isNaN(value) ? NaN : value));
        const bytes = new Uint8Array(shift + codec.maxBytes(values.length) + 1).subarray(shift);
        const expected = new Uint8Array(oracle.maxBytes(values.length));
        const written = codec.encode(values, bytes);
        expect(written).toBe(oracle.encode(values, expected));
        expect(bytes.subarray(0, written)).toEqual(expected);
        expect(bytes[written]).toBe(0);

        const decoded = new Float32Array(values.length);
        const decodedExpected = new Float32Array(values.length);
        codec.decode(bytes.subarray(0, written), decoded);
        oracle.decode(expected, decodedExpected);
        expect(decoded).toEqual(decodedExpected);

        codec.decodeAccumulate(bytes.subarray(0, written), decoded, 0.75);
        oracle.decodeAccumulate(expected, decodedExpected, 0.75);
        expect(decoded).toEqual(decodedExpected);
      }),
      { numRuns: 300 },
    );
  });

  it('crosses blocks', () => {
    const values = Float32Array.from({ length: 2 * BLOCK_LENGTH + 3 }, (_, i) => Math.sin(i) * 100);
    const bytes = new Uint8Array(codec.maxBytes(values.length));
    const expected = new Uint8Array(bytes.length);
    codec.encode(values, bytes);
    oracle.encode(values, expected);
    expect(Buffer.compare(bytes, expected)).toBe(0);
    const decoded = new Float32Array(values.length);
    codec.decode(bytes, decoded);
    const again = new Uint8Array(bytes.length);
    codec.encode(decoded, again);
    expect(Buffer.compare(again, bytes)).toBe(0);
  });

  it('refuses bytes of another length', () => {
    const error = expect.objectContaining({ code: 'protocol' });
    expect(() => codec.decode(new Uint8Array(7), new Float32Array(2))).toThrow(error);
    expect(() => codec.decodeAccumulate(new Uint8Array(12), new Float32Array(2), 1)).toThrow(error);
  });
});

describe('rounding', () => {
  it.each([
    [1, 0x3c00],
    [-2, 0xc000],
    [65_504, 0x7bff],
    [65_519.996, 0x7bff],
    [65_520, 0x7c00],
    [-1e38, 0xfc00],
    [Infinity, 0x7c00],
    [NaN, 0x7e00],
    [2 ** -14, 0x0400],
    [2 ** -24, 0x0001],
    [2 ** -25, 0x0000], // a tie between 0 and the smallest subnormal: even is 0
    [1.0000001 * 2 ** -25, 0x0001],
    [3 * 2 ** -25, 0x0002], // a tie, odd below
    [-0, 0x8000],
    [1 + 2 ** -11, 0x3c00],
    [1 + 3 * 2 ** -11, 0x3c02],
  ])('codes %d as fp16 %i', (value, half) => {
    const bytes = new Uint8Array(2);
    createCodec('fp16', wasm).encode(Float32Array.of(value), bytes);
    expect(bytes[0]! | (bytes[1]! << 8)).toBe(half);
  });

  it('decodes every fp16 there is as the reference does', () => {
    const halves = new Uint8Array(Uint16Array.from({ length: 65_536 }, (_, i) => i).buffer);
    const decoded = new Float32Array(65_536);
    const expected = new Float32Array(65_536);
    wasm.decode('fp16', halves, decoded);
    reference.decode('fp16', halves, expected);
    expect(decoded.findIndex((value, i) => !Object.is(value, expected[i]))).toBe(-1);
  });

  it.each([
    [1, 0x3f80],
    [3.4028234663852886e38, 0x7f80],
    [1 + 2 ** -8, 0x3f80],
    [1 + 3 * 2 ** -8, 0x3f82],
    [-0, 0x8000],
    [NaN, 0x7fc0],
  ])('codes %d as bf16 %i', (value, half) => {
    const bytes = new Uint8Array(2);
    createCodec('bf16', wasm).encode(Float32Array.of(value), bytes);
    expect(bytes[0]! | (bytes[1]! << 8)).toBe(half);
  });

  it('keeps a NaN whose payload is all in the lower half', () => {
    const values = new Float32Array(Uint32Array.of(0x7f800001, 0xff80ffff).buffer);
    for (const name of ['fp16', 'bf16'] as const) {
      const bytes = new Uint8Array(4);
      const decoded = new Float32Array(2);
      createCodec(name, wasm).encode(values, bytes);
      createCodec(name, wasm).decode(bytes, decoded);
      expect([...decoded]).toEqual([NaN, NaN]);
    }
  });

  it.each([
    ['fp16', 2 ** -11, 2 ** -14, 65_504],
    ['bf16', 2 ** -8, 2 ** -126, 3.3e38],
  ] as const)('keeps the relative error of %s below %d in its normal range', (name, bound, min, max) => {
    const codec = createCodec(name, wasm);
    const normal = anyFloat.filter((value) => Math.abs(value) >= min && Math.abs(value) <= max);
    fc.assert(
      fc.property(normal, (value) => {
        const bytes = new Uint8Array(2);
        const decoded = new Float32Array(1);
        codec.encode(Float32Array.of(value), bytes);
        codec.decode(bytes, decoded);
        expect(Math.abs(decoded[0]! - value)).toBeLessThanOrEqual(bound * Math.abs(value));
      }),
    );
  });

  it('copies fp32 bit by bit', () => {
    const bytes = new Uint8Array(4);
    createCodec('fp32', wasm).encode(Float32Array.of(-1.5), bytes);
    expect(new DataView(bytes.buffer).getUint32(0, true)).toBe(bitsOf(-1.5));
  });

  it.each(names)('finds the bytes of a vector in it if it copies: %s', (name) => {
    const codec = createCodec(name, wasm);
    const values = Float32Array.of(7, -1.5, 0.1).subarray(1);
    const bytes = new Uint8Array(codec.maxBytes(2));
    codec.encode(values, bytes);
    expect(codec.bytesIn?.(values)).toEqual(name === 'fp32' ? bytes : undefined);
  });
});

describe('int8', () => {
  const codec = createCodec('int8', wasm);
  const oracle = createCodec('int8', reference);
  const shapes = fc.record({ rowLength: fc.integer({ min: 1, max: 70 }), length: fc.nat({ max: 300 }), shift: fc.nat({ max: 3 }) });

  function roundTrip(values: Float32Array, rowLength?: number): Float32Array {
    const bytes = new Uint8Array(codec.maxBytes(values.length, rowLength));
    const decoded = new Float32Array(values.length);
    expect(codec.encode(values, bytes, rowLength)).toBe(bytes.length);
    codec.decode(bytes, decoded, rowLength);
    return decoded;
  }

  it('codes and decodes to the same bits as the reference, in rows of any length, at any alignment', () => {
    fc.assert(
      fc.property(shapes, fc.infiniteStream(anyFloat), ({ rowLength, length, shift }, floats) => {
        const values = Float32Array.from({ length }, () => floats.next().value as number);
        const bytes = new Uint8Array(shift + codec.maxBytes(length, rowLength) + 1).subarray(shift);
        const expected = new Uint8Array(oracle.maxBytes(length, rowLength));
        const written = codec.encode(values, bytes, rowLength);
        expect(written).toBe(oracle.encode(values, expected, rowLength));
        expect(bytes.subarray(0, written)).toEqual(expected);
        expect(bytes[written]).toBe(0);

        const decoded = new Float32Array(length);
        const decodedExpected = new Float32Array(length);
        codec.decode(bytes.subarray(0, written), decoded, rowLength);
        oracle.decode(expected, decodedExpected, rowLength);
        expect(decoded).toEqual(decodedExpected);
      }),
    );
  });

  it('is off by half a scale at most, however small or great the values are', () => {
    const magnitude = fc.integer({ min: -149, max: 126 }).map((exponent) => 2 ** exponent);
    fc.assert(
      fc.property(fc.array(fc.float({ min: -1, max: 1, noNaN: true }), { minLength: 1, maxLength: 40 }), magnitude, (list, factor) => {
        const values = Float32Array.from(list, (value) => value * factor);
        const lost = Array.from(roundTrip(values), (value, i) => value - values[i]!);
        expect(greatest(lost)).toBeLessThanOrEqual(0.5 * Math.max(greatest(values) / 127, 2 ** -126) * (1 + 1e-4));
      }),
    );
  });

  it('keeps zeros, and the greatest magnitude of a row', () => {
    expect(roundTrip(new Float32Array(9), 3)).toEqual(new Float32Array(9));
    expect([...roundTrip(Float32Array.of(0, 0, 254, -127, 0.5, -0.25), 2)]).toEqual(
      [0, 0, 254, -128, 0.5, -0.25].map((x) => expect.closeTo(x, 2)),
    );
  });

  it('rounds ties to even', () => {
    const values = Float32Array.of(127, ...Array.from({ length: 20 }, (_, i) => i - 9.5));
    const decoded = new Float32Array(values.length);
    const bytes = new Uint8Array(oracle.maxBytes(values.length));
    oracle.encode(values, bytes);
    oracle.decode(bytes, decoded);
    expect([...roundTrip(values)]).toEqual([...decoded]);
    expect([...decoded.subarray(7, 13)]).toEqual([-4, -2, -2, 0, 0, 2]);
  });

  it.each([NaN, Infinity, -Infinity])('makes NaN of the row that has a %d, and leaves the others alone', (value) => {
    const values = Float32Array.of(127, -127, value, 1, 127, 127);
    expect([...roundTrip(values, 2)]).toEqual([127, -127, NaN, NaN, 127, 127]);
    expect(roundTrip(Float32Array.from({ length: 40 }, (_, i) => (i === 17 ? value : i)), 40).every(Number.isNaN)).toBe(true);
  });

  it('gives each row of activations a scale, and cuts rows that are longer than a block', () => {
    expect(codec.maxBytes(6 * 512, 512)).toBe(6 * (512 + 4));
    expect(codec.maxBytes(7, 3)).toBe(7 + 3 * 4);
    expect(codec.maxBytes(7, 1)).toBe(7 * 5);
    expect(codec.maxBytes(3 * BLOCK_LENGTH, 2 * BLOCK_LENGTH)).toBe(3 * (BLOCK_LENGTH + 4));
    expect(codec.maxBytes(0, 4)).toBe(0);
    const values = Float32Array.from({ length: 2 * BLOCK_LENGTH + 3 }, (_, i) => (i < BLOCK_LENGTH ? 1e-3 : 1) * Math.sin(i));
    const decoded = roundTrip(values);
    expect(greatest(decoded.subarray(0, BLOCK_LENGTH).map((value, i) => value - values[i]!))).toBeLessThan(1e-5);
  });

  it('crosses blocks in many rows', () => {
    for (const rowLength of [1, 48, 1000, BLOCK_LENGTH]) {
      const values = Float32Array.from({ length: 2 * BLOCK_LENGTH + 77 }, (_, i) => Math.sin(i) * i);
      const [bytes, expected] = [codec, oracle].map((coder) => {
        const out = new Uint8Array(coder.maxBytes(values.length, rowLength));
        coder.encode(values, out, rowLength);
        return out;
      });
      expect(Buffer.compare(bytes!, expected!)).toBe(0);
    }
  });

  it('refuses bytes of another size', () => {
    const error = expect.objectContaining({ code: 'protocol', message: '12 bytes are not 4 values of int8 in rows of 1, which take 20' });
    expect(() => codec.decode(new Uint8Array(12), new Float32Array(4), 1)).toThrow(error);
  });
});

describe('CodecTable', () => {
  it('finds each codec by the id it sends', () => {
    const table = new CodecTable(wasm);
    for (const name of Object.keys(CODEC_IDS) as CodecName[]) expect(table.get(createCodec(name, wasm).id).name).toBe(name);
  });

  it('names the codecs it has when asked for another', () => {
    expect(() => new CodecTable(wasm).get(99)).toThrow(
      expect.objectContaining({ code: 'protocol', hint: expect.stringContaining('1 (fp16)') }),
    );
  });
});
