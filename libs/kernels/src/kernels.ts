import type { ChunkInspection } from '@longtail/core';
import type { StateMapName } from './state-map.js';

/**
 * Arithmetic over flat float32 vectors of any length, with two implementations that give the same bits: WASM SIMD, and
 * plain TypeScript as its oracle. Every operation takes any `Float32Array`; those from `allocate` live in the kernels'
 * own memory and are worked on in place, others are copied through it a block at a time; `inspect` looks in place at what
 * lies in the memory of any kernels. Operands have equal lengths (a plain `Error` otherwise) and may be the same array, but
 * may not overlap in part.
 *
 * float32 results are rounded after every operation, in the order that the docstrings write; sums of squares are added
 * in float64 in an order that depends on the length alone.
 */
export interface Kernels extends VectorKernels, OptimizerKernels, FormatKernels, RowKernels, SparseKernels, StateKernels, ChecksumKernels {
  readonly implementation: KernelsImplementation;
  /** A vector of zeros in the kernels' memory. It is never moved or freed while the kernels live. */
  allocate(length: number): Float32Array;
}

export type KernelsImplementation = 'wasm' | 'reference';

export interface VectorKernels {
  /** accumulator += weight · x */
  accumulate(accumulator: Float32Array, x: Float32Array, weight: number): void;
  /** out = inputs[0] + inputs[1] + …, added in that order; zeros when there are none. `out` may be the first input. */
  sumInto(out: Float32Array, inputs: readonly Float32Array[]): void;
  /** x = factor · x */
  scale(x: Float32Array, factor: number): void;
  /** out = a − b */
  subtract(out: Float32Array, a: Float32Array, b: Float32Array): void;
  /** Σ a·b in float64. */
  dot(a: Float32Array, b: Float32Array): number;
  /** Finiteness and Σ x² in one pass. */
  inspect(x: Float32Array): ChunkInspection;
}

export interface OptimizerKernels {
  /** g = gradientScale·gradient + weightDecay·p; p −= learningRate·g */
  sgd(parameters: Float32Array, gradient: Float32Array, coefficients: SgdCoefficients): void;
  /** g as in `sgd`; b = momentum·b + g; p −= learningRate·(direct·g + carried·b) */
  sgdMomentum(parameters: Float32Array, gradient: Float32Array, buffer: Float32Array, coefficients: MomentumCoefficients): void;
  /**
   * g = gradientScale·gradient + l2·p; m += (1−β1)·(g−m); v = β2·v + (1−β2)·g²;
   * p = keep·p − stepSize·m / (√v·rootScale + ε)
   */
  adam(
    parameters: Float32Array,
    gradient: Float32Array,
    firstMoment: Float32Array,
    secondMoment: Float32Array,
    coefficients: AdamCoefficients,
  ): void;
}

export interface SgdCoefficients {
  readonly gradientScale: number;
  readonly learningRate: number;
  readonly weightDecay: number;
}

export interface MomentumCoefficients extends SgdCoefficients {
  readonly momentum: number;
  readonly direct: number;
  readonly carried: number;
}

export interface AdamCoefficients {
  readonly gradientScale: number;
  readonly l2: number;
  readonly keep: number;
  readonly oneMinusBeta1: number;
  readonly beta2: number;
  readonly oneMinusBeta2: number;
  readonly stepSize: number;
  readonly rootScale: number;
  readonly epsilon: number;
}

/** Formats that code each value on its own, little-endian: IEEE binary32 and binary16, and binary32's upper half. */
export type FloatFormat = 'fp32' | 'fp16' | 'bf16';

export const BYTES_PER_VALUE: Readonly<Record<FloatFormat, number>> = { fp32: 4, fp16: 2, bf16: 2 };

export interface FormatKernels {
  /** Rounds to nearest, ties to even; overflow gives infinity, NaN stays NaN. `bytes` has exactly the size needed. */
  encode(format: FloatFormat, values: Float32Array, bytes: Uint8Array): void;
  /** out = value; `bytes` may start at any address. */
  decode(format: FloatFormat, bytes: Uint8Array, out: Float32Array): void;
  /** accumulator += weight · value */
  decodeAccumulate(format: FloatFormat, bytes: Uint8Array, accumulator: Float32Array, weight: number): void;
}

/** What a row takes beside its values. */
export const SCALE_BYTES = 4;

/**
 * Rows that share a scale, the last one as long as what is left; little-endian. `int8` and `int4` hold multiples of a float32:
 * the greatest magnitude / 127 or / 7 rounded up to 16 significant bits, so that multiples are exact, at least 2^-126; two
 * values of `int4` share a byte, the first in its lower half. `sign` holds the row's mean magnitude, a float32, and a bit a
 * value. `int2` holds two levels, the lower one first, as the upper halves of float32, and two planes of bits, signs and
 * levels: the means of the magnitudes that are above the row's mean and that are not.
 */
export type RowFormat = 'int8' | 'int4' | 'int2' | 'sign';

export const ROW_FORMATS: readonly RowFormat[] = ['int8', 'int4', 'int2', 'sign'];

/**
 * A row with a NaN or an infinity decodes to values that are not finite as a whole. `rowLength` is at most `BLOCK_LENGTH`;
 * `bytes` has exactly the size needed and may start at any address.
 */
export interface RowKernels {
  /** Integers are rounded to nearest, ties to even. */
  encodeRows(format: RowFormat, values: Float32Array, bytes: Uint8Array, rowLength: number): void;
  decodeRows(format: RowFormat, bytes: Uint8Array, out: Float32Array, rowLength: number): void;
  /** accumulator += weight · value */
  accumulateRows(format: RowFormat, bytes: Uint8Array, accumulator: Float32Array, rowLength: number, weight: number): void;
}

/** What may be kept of a vector, as assembly/sparse.ts and sparse.ts lay it out. */
export interface SparseKernels {
  /**
   * Codes the values of greatest magnitude of each block, of equal ones the first; never zeros. Returns the bytes written to
   * `bytes`, which must have room for `mostSparseBytes`; −1 when a value is not finite.
   */
  encodeSparse(format: SparseFormat, values: Float32Array, bytes: Uint8Array, selection: SparseSelection): number;
  /** The k-th greatest magnitude of up to 4096 values, the least one above 0 where fewer are not 0. */
  magnitudeOfRank(values: Float32Array, k: number): number;
  /** out = what is kept among zeros. Returns the number, from 0, of the first block whose indices are broken, else −1; sizes are checked before (`checkSparse`). */
  decodeSparse(bytes: Uint8Array, out: Float32Array): number;
  /** accumulator += weight · value, where a value is kept. Returns as `decodeSparse`. */
  accumulateSparse(bytes: Uint8Array, accumulator: Float32Array, weight: number): number;
}

/** `fp16` is in parts of a power of two, `int8` and `int2` are as in rows. */
export type SparseFormat = 'fp16' | 'int8' | 'int2';

/** Counts are of a block of 4096 values, of a shorter one its share, rounded up. */
export interface SparseSelection {
  readonly keep: number;
  /** Where this is above 0, keep what reaches it in place of `keep` values, but at most `most`. */
  readonly threshold: number;
  readonly most: number;
}

/**
 * Optimizer state in 8 bits: blocks of core's `STATE_BLOCK`, the last one as long as what is left, each a float32 scale (the
 * value of greatest magnitude, with its sign) and a code a value. Decoding and coding again gives the same bytes. A block
 * with a NaN or an infinity decodes to values that are not finite. `bytes` has exactly the size needed.
 */
export interface StateKernels {
  /** The nearest code of the map, where a positive value may have it. */
  encodeState(map: StateMapName, values: Float32Array, bytes: Uint8Array): void;
  decodeState(map: StateMapName, bytes: Uint8Array, out: Float32Array): void;
}

export interface ChecksumKernels {
  /** CRC-32C (RFC 3720) of `bytes`, or of what `previous` is the checksum of followed by `bytes`. */
  crc32c(bytes: Uint8Array, previous?: number): number;
}

/** Values that operations take at a time: 64 KiB of float32, so that four operands stay in a core's L2 cache. */
export const BLOCK_LENGTH = 16_384;

/** Throws a plain `Error`: operands of unequal length are a programmer's mistake, and would reach foreign memory. */
export function assertLength(actual: number, expected: number, operand: string): void {
  if (actual !== expected) throw new Error(`${operand} has length ${actual}, not ${expected}`);
}

/** Bytes of a row beside its scale. */
function packedBytes(format: RowFormat, length: number): number {
  switch (format) {
    case 'int8':
      return length;
    case 'int4':
      return Math.ceil(length / 2);
    case 'int2':
      return 2 * Math.ceil(length / 8);
    case 'sign':
      return Math.ceil(length / 8);
  }
}

export function bytesOfRow(format: RowFormat, length: number): number {
  return SCALE_BYTES + packedBytes(format, length);
}

/** Bytes that `length` values take in rows. */
export function bytesOfRows(format: RowFormat, length: number, rowLength: number): number {
  const rest = length % rowLength;
  return Math.floor(length / rowLength) * bytesOfRow(format, rowLength) + (rest > 0 ? bytesOfRow(format, rest) : 0);
}
