import { assertLength, bytesOfRow, bytesOfRows, SCALE_BYTES, type RowFormat, type RowKernels } from '../kernels.js';
import { laneSum } from './lanes.js';
import { roundHalfToEven } from './round.js';

const { fround } = Math;

const SMALLEST_SCALE = 2 ** -126;
const GREATEST_INTEGER = { int8: 127, int4: 7 } as const;

export const referenceRowKernels: RowKernels = {
  encodeRows(format, values, bytes, rowLength) {
    assertLength(bytes.length, bytesOfRows(format, values.length, rowLength), 'bytes');
    let at = 0;
    for (let start = 0; start < values.length; start += rowLength) {
      const row = values.subarray(start, start + rowLength);
      encodeRow(format, row, new DataView(bytes.buffer, bytes.byteOffset + at, bytesOfRow(format, row.length)));
      at += bytesOfRow(format, row.length);
    }
  },

  decodeRows(format, bytes, out, rowLength) {
    assertLength(bytes.length, bytesOfRows(format, out.length, rowLength), 'bytes');
    forEachValue(format, bytes, out.length, rowLength, (value, i) => (out[i] = value));
  },

  accumulateRows(format, bytes, accumulator, rowLength, weight) {
    assertLength(bytes.length, bytesOfRows(format, accumulator.length, rowLength), 'bytes');
    const w = fround(weight);
    forEachValue(format, bytes, accumulator.length, rowLength, (value, i) => {
      accumulator[i] = accumulator[i]! + fround(w * value);
    });
  },
};

/** The scale of `row`, and its values behind it. */
export function encodeRow(format: RowFormat, row: Float32Array, out: DataView): void {
  if (!row.every(Number.isFinite)) return spoil(format, out);
  for (let at = 0; at < out.byteLength; at++) out.setUint8(at, 0);
  if (format === 'int8' || format === 'int4') {
    const scale = integerScale(row, GREATEST_INTEGER[format]);
    out.setFloat32(0, scale, true);
    row.forEach((value, i) => putInteger(format, out, i, roundHalfToEven(fround(value * fround(1 / scale)))));
  } else if (format === 'sign') {
    out.setFloat32(0, meanMagnitude(row), true);
    row.forEach((value, i) => putBit(out, SCALE_BYTES, i, isNegative(value)));
  } else {
    const border = roundDown(meanMagnitude(row));
    const isAbove = (value: number): boolean => Math.abs(value) > border;
    const above = row.filter(isAbove).length;
    const sumWhere = (wanted: boolean): number => laneSum(row.length, (i) => (isAbove(row[i]!) === wanted ? Math.abs(row[i]!) : 0));
    const low = levelOf(sumWhere(false) / (row.length - above));
    out.setUint16(0, low, true);
    out.setUint16(2, above === 0 ? low : levelOf(sumWhere(true) / above), true);
    row.forEach((value, i) => {
      putBit(out, SCALE_BYTES, i, isNegative(value));
      putBit(out, SCALE_BYTES + Math.ceil(row.length / 8), i, isAbove(value));
    });
  }
}

/** Value i of a row of `length`. */
export function valueOfRow(format: RowFormat, row: DataView, i: number, length: number): number {
  if (format === 'int8') return fround(row.getInt8(SCALE_BYTES + i) * row.getFloat32(0, true));
  if (format === 'int4') {
    const half = (row.getUint8(SCALE_BYTES + (i >> 1)) >> (4 * (i & 1))) & 15;
    return fround((half < 8 ? half : half - 16) * row.getFloat32(0, true));
  }
  const sign = bitAt(row, SCALE_BYTES, i) ? -1 : 1;
  if (format === 'sign') return sign * row.getFloat32(0, true);
  const level = bitAt(row, SCALE_BYTES + Math.ceil(length / 8), i) ? 2 : 0;
  return sign * floatOf(row.getUint16(level, true) << 16);
}

function meanMagnitude(row: Float32Array): number {
  return laneSum(row.length, (i) => Math.abs(row[i]!)) / row.length;
}

/** Whatever the format, the scale then is infinite. */
function spoil(format: RowFormat, out: DataView): void {
  for (let at = 0; at < out.byteLength; at++) out.setUint8(at, 0);
  out.setUint32(0, format === 'int2' ? 0x7f80_7f80 : 0x7f80_0000, true);
}

function forEachValue(format: RowFormat, bytes: Uint8Array, count: number, rowLength: number, visit: (value: number, i: number) => void): void {
  let at = bytes.byteOffset;
  for (let start = 0; start < count; start += rowLength) {
    const length = Math.min(rowLength, count - start);
    const row = new DataView(bytes.buffer, at, bytesOfRow(format, length));
    for (let i = 0; i < length; i++) visit(valueOfRow(format, row, i, length), start + i);
    at += row.byteLength;
  }
}

/** At least the greatest magnitude / most, with 16 significant bits. */
function integerScale(row: Float32Array, most: number): number {
  const greatest = row.reduce((sofar, value) => Math.max(sofar, Math.abs(value)), 0);
  return Math.max(floatOf((bitsOf(greatest / most) + 0xff) & ~0xff), SMALLEST_SCALE);
}

function putInteger(format: 'int8' | 'int4', out: DataView, i: number, integer: number): void {
  if (format === 'int8') return out.setInt8(SCALE_BYTES + i, integer);
  const at = SCALE_BYTES + (i >> 1);
  out.setUint8(at, out.getUint8(at) | ((integer & 15) << (4 * (i & 1))));
}

function putBit(out: DataView, plane: number, i: number, bit: boolean): void {
  const at = plane + (i >> 3);
  out.setUint8(at, out.getUint8(at) | (Number(bit) << (i & 7)));
}

function bitAt(row: DataView, plane: number, i: number): boolean {
  return ((row.getUint8(plane + (i >> 3)) >> (i & 7)) & 1) === 1;
}

function isNegative(value: number): boolean {
  return value < 0 || Object.is(value, -0);
}

/** The greatest float32 that is no greater than a positive number. */
function roundDown(x: number): number {
  return fround(x) > x ? floatOf(bitsOf(x) - 1) : fround(x);
}

/** The upper half of a float32, halves up, no further than the greatest finite one. */
function levelOf(mean: number): number {
  return Math.min((bitsOf(mean) + 0x8000) >>> 16, 0x7f7f);
}

function bitsOf(x: number): number {
  return new Uint32Array(Float32Array.of(x).buffer)[0]!;
}

function floatOf(bits: number): number {
  return new Float32Array(Uint32Array.of(bits).buffer)[0]!;
}
