import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { createKernels } from './create-kernels.js';
import { BLOCK_LENGTH, bytesOfRows } from './kernels.js';
import { STATE_MAPS } from './state-map.js';

const BLOCK = 256;
const names = ['signed', 'unsigned'] as const;
const wasm = createKernels({ vectors: [BLOCK_LENGTH] });
const reference = createKernels({ implementation: 'reference' });

/** Values over many decades, as moments are. */
const moment = fc
  .tuple(fc.float({ min: -1, max: 1, noNaN: true }), fc.integer({ min: -12, max: 3 }))
  .map(([x, decade]) => Math.fround(x * 10 ** decade));

function vectorOf(name: (typeof names)[number], values: readonly number[]): Float32Array {
  return Float32Array.from(values, name === 'signed' ? (value) => value : Math.abs);
}

function encode(name: (typeof names)[number], values: Float32Array, kernels = wasm): Uint8Array {
  const bytes = new Uint8Array(bytesOfRows('int8', values.length, BLOCK));
  kernels.encodeState(name, values, bytes);
  return bytes;
}

function decode(name: (typeof names)[number], bytes: Uint8Array, length: number, kernels = wasm): Float32Array {
  const out = new Float32Array(length);
  kernels.decodeState(name, bytes, out);
  return out;
}

describe.each(names)('the %s map', (name) => {
  const { values, borders } = STATE_MAPS[name];

  it('ascends, with 0 and 1 in it', () => {
    expect(values).toHaveLength(256);
    values.forEach((value, i) => i > 0 && expect(value).toBeGreaterThan(values[i - 1]!));
    borders.forEach((border, i) => expect(border).toBeGreaterThan(values[i]!));
    expect(values.includes(0)).toBe(true);
    expect(values[255]).toBe(1);
    expect(Math.min(...values.filter((value) => value > 0))).toBeLessThan(1e-6);
  });

  it('codes and decodes to the same bits as the reference, at any length', () => {
    fc.assert(
      fc.property(fc.array(fc.oneof(moment, fc.float()), { maxLength: 2 * BLOCK + 9 }), (list) => {
        const vector = vectorOf(name, list);
        const bytes = encode(name, vector);
        expect(bytes).toEqual(encode(name, vector, reference));
        expect(decode(name, bytes, vector.length)).toEqual(decode(name, bytes, vector.length, reference));
      }),
    );
  });

  it('gives every part of the scale its nearest code', () => {
    const parts = Float32Array.from({ length: 40 * BLOCK }, (_, i) => (i % BLOCK === 0 ? 1 : (i / (40 * BLOCK)) ** 6));
    if (name === 'signed') parts.forEach((part, i) => (parts[i] = i % BLOCK > 0 && i % 3 === 1 ? -part : part));
    const bytes = encode(name, parts);
    parts.forEach((part, i) => {
      const code = bytes[4 * (Math.floor(i / BLOCK) + 1) + i]!;
      const nearest = Math.min(...values.map((value) => Math.abs(part - value)));
      expect(Math.abs(part - values[code]!)).toBeLessThanOrEqual(
        Math.max(nearest * (1 + 1e-6), name === 'unsigned' && part > 0 ? values[1]! : 0),
      );
    });
  });

  it(`is off by ${name === 'signed' ? 0.71 : 0.36} % of the extreme at most, by half of a value in the upper five decades`, () => {
    const ofExtreme = name === 'signed' ? 0.0071 : 0.0036;
    fc.assert(
      fc.property(fc.array(moment, { minLength: 1, maxLength: BLOCK }), (list) => {
        const vector = vectorOf(name, list);
        const extreme = Math.max(...vector.map(Math.abs));
        fc.pre(extreme > 1e-20);
        decode(name, encode(name, vector), vector.length).forEach((value, i) => {
          const error = Math.abs(value - vector[i]!);
          expect(error).toBeLessThanOrEqual(ofExtreme * extreme);
          if (Math.abs(vector[i]!) > 1e-5 * extreme) expect(error).toBeLessThanOrEqual(0.5 * Math.abs(vector[i]!));
        });
      }),
    );
  });

  it('gives the same bytes for what was decoded', () => {
    fc.assert(
      fc.property(fc.array(moment, { maxLength: 2 * BLOCK }), (list) => {
        const bytes = encode(name, vectorOf(name, list));
        expect(encode(name, decode(name, bytes, list.length))).toEqual(bytes);
      }),
    );
  });

  it('keeps zeros, which are bytes of 0', () => {
    const bytes = encode(name, new Float32Array(BLOCK + 3));
    expect(bytes.every((byte) => byte === 0)).toBe(true);
    expect(decode(name, bytes, BLOCK + 3).every((value) => value === 0)).toBe(true);
  });

  it.each([NaN, Infinity])('shows a %d', (value) => {
    const vector = new Float32Array(3 * BLOCK).fill(0.5);
    vector[BLOCK + 7] = value;
    const decoded = decode(name, encode(name, vector), vector.length);
    expect(decoded.subarray(0, BLOCK).every((other) => other === 0.5)).toBe(true);
    expect(decoded.subarray(BLOCK, 2 * BLOCK).some(Number.isFinite)).toBe(false);
    expect(decoded.subarray(2 * BLOCK).every((other) => other === 0.5)).toBe(true);
  });
});

it('never makes 0 of a second moment that is not 0', () => {
  const vector = Float32Array.from({ length: BLOCK }, (_, i) => (i === 0 ? 0 : 10 ** (-i / 7)));
  const decoded = decode('unsigned', encode('unsigned', vector), BLOCK);
  expect(decoded[0]).toBe(0);
  expect(decoded.subarray(1).every((value) => value > 0)).toBe(true);
});
