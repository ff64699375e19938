import { bytesOfRow, SCALE_BYTES, type SparseFormat, type SparseKernels } from '../kernels.js';
import { bytesOfBlock, keptOf, lowBits, lowerBytes, readHead, SPARSE_BLOCK, SPARSE_FORMATS, upperBytes } from '../sparse.js';
import { referenceFormatKernels } from './format.js';
import { encodeRow, valueOfRow } from './rows.js';

const { fround } = Math;

const LEAST_MAGNITUDE = 2 ** -149;

export const referenceSparseKernels: SparseKernels = {
  encodeSparse(format, values, bytes, { keep, threshold, most }) {
    let at = 0;
    for (let start = 0; start < values.length; start += SPARSE_BLOCK) {
      const block = values.subarray(start, start + SPARSE_BLOCK);
      if (!block.every(Number.isFinite)) return -1;
      const reaching = threshold > 0 ? countAtLeast(block, threshold) : Infinity;
      const limit = keptOf(block.length, threshold > 0 ? most : keep);
      const kept = greatest(block, Math.min(limit, reaching));
      at += writeBlock(format, block, kept, bytes.subarray(at, at + bytesOfBlock(format, block.length, kept.length)));
    }
    return at;
  },

  magnitudeOfRank(values, k) {
    const ordered = values.map(Math.abs).sort();
    return Math.max(ordered.at(-Math.min(k, ordered.length)) ?? 0, LEAST_MAGNITUDE);
  },

  decodeSparse(bytes, out) {
    out.fill(0);
    return forEachKept(bytes, out.length, (value, index) => (out[index] = value));
  },

  accumulateSparse(bytes, accumulator, weight) {
    const w = fround(weight);
    return forEachKept(bytes, accumulator.length, (value, index) => {
      accumulator[index] = accumulator[index]! + fround(w * value);
    });
  },
};

function countAtLeast(block: Float32Array, threshold: number): number {
  return block.filter((value) => Math.abs(value) >= threshold).length;
}

/** Places of the `count` greatest magnitudes above 0, in order; of equal ones the first. */
function greatest(block: Float32Array, count: number): readonly number[] {
  const places = [...block.keys()].filter((i) => block[i] !== 0);
  places.sort((i, j) => Math.abs(block[j]!) - Math.abs(block[i]!) || i - j);
  return places.slice(0, count).sort((i, j) => i - j);
}

function writeBlock(format: SparseFormat, block: Float32Array, kept: readonly number[], out: Uint8Array): number {
  const count = kept.length;
  const head = count | (SPARSE_FORMATS.indexOf(format) << 13);
  out.fill(0);
  out.set([head & 255, head >> 8]);
  if (count === 0) return out.length;
  const low = lowBits(block.length, count);
  const upper = 2 + SCALE_BYTES;
  const lower = upper + upperBytes(block.length, count);
  kept.forEach((index, i) => {
    setBit(out, upper, (index >> low) + i);
    for (let bit = 0; bit < low; bit++) if ((index >> bit) & 1) setBit(out, lower, i * low + bit);
  });
  writeValues(format, Float32Array.from(kept, (index) => block[index]!), out, lower + lowerBytes(block.length, count));
  return out.length;
}

/** The scale goes to the front, the values to `at`. */
function writeValues(format: SparseFormat, values: Float32Array, out: Uint8Array, at: number): void {
  if (format === 'fp16') {
    const scale = binaryScale(values);
    new DataView(out.buffer, out.byteOffset).setFloat32(2, scale, true);
    referenceFormatKernels.encode('fp16', values.map((value) => value / scale), out.subarray(at));
    return;
  }
  const row = new DataView(new ArrayBuffer(bytesOfRow(format, values.length)));
  encodeRow(format, values, row);
  out.set(new Uint8Array(row.buffer, 0, SCALE_BYTES), 2);
  out.set(new Uint8Array(row.buffer, SCALE_BYTES), at);
}

/** The power of two at or below the greatest magnitude, at least 2^-126. */
function binaryScale(values: Float32Array): number {
  const magnitude = Math.max(...values.map(Math.abs), 2 ** -126);
  let scale = 2 ** Math.floor(Math.log2(magnitude));
  while (scale > magnitude) scale /= 2;
  while (2 * scale <= magnitude) scale *= 2;
  return scale;
}

/** Visits what is kept of `length` values. Returns the number of the first block whose indices are broken, −1: none is. */
function forEachKept(bytes: Uint8Array, length: number, visit: (value: number, index: number) => void): number {
  let at = 0;
  for (let block = 0; block * SPARSE_BLOCK < length; block++) {
    const start = block * SPARSE_BLOCK;
    const blockLength = Math.min(SPARSE_BLOCK, length - start);
    const { count, format } = readHead(bytes, at);
    const size = bytesOfBlock(format!, blockLength, count);
    if (count > 0) {
      const coded = bytes.subarray(at, at + size);
      const indices = readIndices(coded, blockLength, count);
      if (indices === undefined) return block;
      const values = readValues(format!, coded, count, blockLength);
      indices.forEach((index, i) => visit(values[i]!, start + index));
    }
    at += size;
  }
  return -1;
}

function readIndices(coded: Uint8Array, length: number, count: number): readonly number[] | undefined {
  const low = lowBits(length, count);
  const upper = 2 + SCALE_BYTES;
  const lower = upper + upperBytes(length, count);
  const indices: number[] = [];
  for (let bit = 0; bit < 8 * (lower - upper); bit++) {
    if (!hasBit(coded, upper, bit)) continue;
    const i = indices.length;
    let index = (bit - i) << low;
    for (let j = 0; j < low; j++) if (hasBit(coded, lower, i * low + j)) index |= 1 << j;
    if (i === count || index <= (indices.at(-1) ?? -1) || index >= length) return undefined;
    indices.push(index);
  }
  return indices.length === count ? indices : undefined;
}

function readValues(format: SparseFormat, coded: Uint8Array, count: number, length: number): Float32Array {
  const packed = coded.subarray(2 + SCALE_BYTES + upperBytes(length, count) + lowerBytes(length, count));
  if (format === 'fp16') {
    const values = new Float32Array(count);
    const scale = new DataView(coded.buffer, coded.byteOffset).getFloat32(2, true);
    referenceFormatKernels.decode('fp16', packed, values);
    return values.map((value) => value * scale);
  }
  const row = Uint8Array.of(...coded.subarray(2, 2 + SCALE_BYTES), ...packed);
  return Float32Array.from({ length: count }, (_, i) => valueOfRow(format, new DataView(row.buffer), i, count));
}

function setBit(bytes: Uint8Array, at: number, bit: number): void {
  bytes[at + (bit >> 3)]! |= 1 << (bit & 7);
}

function hasBit(bytes: Uint8Array, at: number, bit: number): boolean {
  return ((bytes[at + (bit >> 3)]! >> (bit & 7)) & 1) === 1;
}
