import type { SparseFormat } from './kernels.js';

/** Values of a block, of which the greatest are kept; after SparseLoCo (arXiv 2508.15706), whose chunks have 64 × 64. */
export const SPARSE_BLOCK = 4096;

/** Numbers in the heads of blocks: never renumber. */
export const SPARSE_FORMATS: readonly SparseFormat[] = ['fp16', 'int8', 'int2'];

const HEAD_BYTES = 2;
const SCALE_BYTES = 4;

/** Low bits of an index that are written as they are (Elias 1974, Fano 1971): ⌊log2(n / k)⌋. */
export function lowBits(length: number, count: number): number {
  return 31 - Math.clz32(Math.floor(length / count));
}

/** Of the vector that holds the upper bits of the indices in unary. */
export function upperBytes(length: number, count: number): number {
  return Math.ceil((count + ((length - 1) >> lowBits(length, count))) / 8);
}

export function lowerBytes(length: number, count: number): number {
  return Math.ceil((count * lowBits(length, count)) / 8);
}

function valueBytes(format: SparseFormat, count: number): number {
  return format === 'fp16' ? 2 * count : format === 'int8' ? count : 2 * Math.ceil(count / 8);
}

/** Bytes of a block of `length` values of which `count` are kept. */
export function bytesOfBlock(format: SparseFormat, length: number, count: number): number {
  if (count === 0) return HEAD_BYTES;
  return HEAD_BYTES + SCALE_BYTES + upperBytes(length, count) + lowerBytes(length, count) + valueBytes(format, count);
}

/** Bytes of `length` values at most, where up to `most` of a whole block are kept. */
export function mostSparseBytes(format: SparseFormat, length: number, most: number): number {
  const whole = Math.floor(length / SPARSE_BLOCK) * mostOfBlock(format, SPARSE_BLOCK, most);
  const rest = length % SPARSE_BLOCK;
  return whole + (rest === 0 ? 0 : mostOfBlock(format, rest, keptOf(rest, most)));
}

/** Bytes grow with the count as long as indices have the same low bits: the greatest counts of each number of them are tried. */
function mostOfBlock(format: SparseFormat, length: number, most: number): number {
  let bytes = bytesOfBlock(format, length, most);
  for (let count = length; count > 0; count >>= 1) if (count <= most) bytes = Math.max(bytes, bytesOfBlock(format, length, count));
  return bytes;
}

/** A share of `most` a whole block. */
export function keptOf(length: number, most: number): number {
  return Math.ceil((most * length) / SPARSE_BLOCK);
}

interface BlockHead {
  readonly count: number;
  readonly format: SparseFormat | undefined;
}

export function readHead(bytes: Uint8Array, at: number): BlockHead {
  const head = bytes[at]! | (bytes[at + 1]! << 8);
  return { count: head & 0x1fff, format: SPARSE_FORMATS[head >> 13] };
}

/** What is wrong with the sizes and counts of an encoding of `length` values; undefined: nothing. */
export function checkSparse(bytes: Uint8Array, length: number): string | undefined {
  let at = 0;
  for (let start = 0; start < length; start += SPARSE_BLOCK) {
    const block = Math.min(SPARSE_BLOCK, length - start);
    const where = `the block of values from ${start}`;
    if (at + HEAD_BYTES > bytes.length) return `${bytes.length} bytes end before ${where}`;
    const { count, format } = readHead(bytes, at);
    if (format === undefined) return `${where} is of a format that is not known`;
    if (count > block) return `${where} claims ${count} of ${block} values`;
    at += bytesOfBlock(format, block, count);
    if (at > bytes.length) return `${bytes.length} bytes end within ${where}`;
  }
  return at === bytes.length ? undefined : `${bytes.length} bytes, but ${length} values end at ${at}`;
}

/** The bytes of values [from, from + length) of a checked encoding; both in whole blocks, but at the end. */
export function sliceSparse(bytes: Uint8Array, total: number, from: number, length: number): Uint8Array {
  let at = 0;
  let begin = 0;
  for (let start = 0; start < from + length; start += SPARSE_BLOCK) {
    if (start === from) begin = at;
    const { count, format } = readHead(bytes, at);
    at += bytesOfBlock(format!, Math.min(SPARSE_BLOCK, total - start), count);
  }
  return bytes.subarray(begin, at);
}
