/** How a vector of float32 becomes bytes. Codecs keep no state: error feedback is a wrapper. */
export interface Codec {
  /** Travels in each frame. */
  readonly id: number;
  readonly name: CodecName;
  /** Upper bound of the bytes of `length` values. */
  maxBytes(length: number): number;
  /** Returns the bytes written to `out`. */
  encode(values: Float32Array, out: Uint8Array): number;
  /** Throws when `bytes` is not a whole encoding of `out.length` values. */
  decode(bytes: Uint8Array, out: Float32Array): void;
}

export type CodecName = 'fp32' | 'fp16' | 'bf16';

/** What a look at a chunk tells before it may touch anything (DESIGN.md section 5, line 3). */
export interface ChunkInspection {
  readonly finite: boolean;
  readonly sumOfSquares: number;
}
