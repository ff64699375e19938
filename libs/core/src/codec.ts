/**
 * How a vector of float32 becomes bytes. Codecs keep no state: error feedback is a wrapper. `rowLength` is the length of the
 * vector's rows, which `int8` gives a scale each; the others do not look at it. @default one row
 */
export interface Codec {
  /** Travels in each frame. */
  readonly id: number;
  readonly name: CodecName;
  /** Upper bound of the bytes of `length` values. */
  maxBytes(length: number, rowLength?: number): number;
  /** Returns the bytes written to `out`. */
  encode(values: Float32Array, out: Uint8Array, rowLength?: number): number;
  /** Throws when `bytes` is not a whole encoding of `out.length` values. */
  decode(bytes: Uint8Array, out: Float32Array, rowLength?: number): void;
}

export type CodecName = 'fp32' | 'fp16' | 'bf16' | 'int8';

/** Of a value; a row of `int8` has 32 besides, for its scale. */
export const CODEC_BITS: Readonly<Record<CodecName, number>> = { fp32: 32, fp16: 16, bf16: 16, int8: 8 };

/** What a look at a chunk tells before it may touch anything (DESIGN.md section 5, line 3). */
export interface ChunkInspection {
  readonly finite: boolean;
  readonly sumOfSquares: number;
}
