import type { VectorRange } from './tensor.js';

/**
 * How a vector of float32 becomes bytes. Codecs keep no state: error feedback is a wrapper. `rowLength` is the length of the
 * vector's rows, which get a scale each where a codec has scales; without it the vector is flat, and its blocks do.
 */
export interface Codec {
  /** Travels in each frame. */
  readonly id: number;
  readonly name: CodecName;
  /** Upper bound of the bytes of `length` values. */
  maxBytes(length: number, rowLength?: number): number;
  /**
   * Returns the bytes written to `out`. Codecs below 16 bits throw LongtailError `diverged` for a flat vector with a value that
   * is not finite, and say which.
   */
  encode(values: Float32Array, out: Uint8Array, rowLength?: number): number;
  /** Throws when `bytes` is not a whole encoding of `out.length` values. */
  decode(bytes: Uint8Array, out: Float32Array, rowLength?: number): void;
  /** What `encode` writes, where that is there already: as it lies, for as long as the values do not change. @default it is not */
  readonly bytesIn?: ((values: Float32Array) => Uint8Array) | undefined;
  /** `top-k` only: the codec that keeps this much. */
  keeping?(topK: TopKSpec): Codec;
}

/** Integers of 8 and 4 bits, four levels, signs, and the values of greatest magnitude with their places. */
export type CodecName = 'fp32' | 'fp16' | 'bf16' | 'int8' | 'int4' | 'int2' | 'sign' | 'top-k';

/** What `top-k` keeps of each block of 4096 values. */
export interface TopKSpec {
  /** The part that is kept. */
  readonly density: number;
  /** How a kept value is coded. */
  readonly values: 'fp16' | 'int8' | 'int2';
  /** `exact`: the greatest of each block; `sampled`: what reaches a threshold that a sample of the chunk gives. */
  readonly selection: 'exact' | 'sampled';
}

/** 64 of 4096 values in 2 bits, as SparseLoCo has them (arXiv 2508.15706). */
export const DEFAULT_TOP_K: TopKSpec = { density: 1 / 64, values: 'int2', selection: 'exact' };

const BITS = { fp32: 32, fp16: 16, bf16: 16, int8: 8, int4: 4, int2: 2, sign: 1 } as const;

/** Of a value of a long vector, scales and places counted as far as they depend on its length. */
export function codecBits(name: CodecName, topK = DEFAULT_TOP_K): number {
  if (name !== 'top-k') return BITS[name];
  return topK.density * (BITS[topK.values] + 2 + Math.log2(1 / topK.density));
}

/** Of a million values on one core, in ms. Decoding adds to an accumulator. */
export interface CodingTime {
  readonly encodeMs: number;
  readonly decodeMs: number;
}

/** Is what it loses kept and sent with the next vector? Rounding to 16 bits is too little to keep. */
export function hasErrorFeedback(name: CodecName): boolean {
  return name === 'top-k' || BITS[name] < 16;
}

/**
 * Error feedback (Seide et al. 2014; Karimireddy et al. 2019) over a vector of fixed length: what an encoding lost is added to
 * what is coded in its place the next time, whatever the codec is then.
 */
export interface FeedbackEncoder {
  /** Codes values [offset, offset + values.length) with what was lost there; returns the bytes written. Throws as the codec does. */
  encode(codec: CodecName, values: Float32Array, offset: number, out: Uint8Array): number;
  /** As `Codec.bytesIn`. */
  bytesIn?(codec: CodecName, values: Float32Array): Uint8Array;
  /** Whether what was coded since the last call took effect: if not, it is as if it had not been coded. `range`: only that in it. */
  settle(accepted: boolean, range?: VectorRange): void;
}

/** What a look at a chunk tells before it may touch anything (DESIGN.md section 5, line 3). */
export interface ChunkInspection {
  readonly finite: boolean;
  readonly sumOfSquares: number;
}
