import type { ChunkInspection, CodecName } from './codec.js';
import type { StateVector, StepHyper } from './optimizer.js';

/** One contribution's bytes for a chunk of the shard, as they came off the wire. */
export interface CodedChunk {
  readonly bytes: Uint8Array;
  readonly codecId: number;
  /** Multiplies the decoded values before they are added; 1 under BSP. */
  readonly weight: number;
}

/**
 * Parameters and optimizer state of the server, with the arithmetic on them. Chunks are [offset, offset + length) in values.
 * A commit is one pass over the chunks: reduce, step, encode for sending, while the chunk is in cache.
 */
export interface ParameterShard {
  readonly length: number;
  /** Optimizer steps taken. */
  readonly steps: number;
  /** Decodes without adding: is every value finite, and what is the squared norm. Throws LongtailError `protocol` for bytes that are no encoding of `length` values. */
  inspect(chunk: CodedChunk, length: number): ChunkInspection;
  /** Of Σ weight_k · decode(chunk_k), without touching anything: the global norm for clipping is the root of the chunks' total. */
  inspectSum(offset: number, length: number, contributions: readonly CodedChunk[]): ChunkInspection;
  /** Codes the same sum in float32: a step along it, at the same scale, is the same step, bit by bit. Returns the bytes written. */
  encodeSum(offset: number, length: number, contributions: readonly CodedChunk[], out: Uint8Array): number;
  /** Starts optimizer step `steps + 1`: each chunk is then stepped once, in any order. */
  beginStep(hyper: StepHyper): void;
  /**
   * gradient = scale × Σ weight_k · decode(chunk_k), added in the order given; then the optimizer on this chunk. Where it is `measured`, returns the
   * sum's squares added up, as `inspectSum` does; else 0.
   */
  stepChunk(offset: number, length: number, contributions: readonly CodedChunk[], scale: number, measured?: boolean): number;
  /** Codes the chunk's parameters into `out`; returns the bytes written. */
  encodeParameters(offset: number, length: number, codecId: number, out: Uint8Array): number;
  /** Followers hold the parameters as they are now: the view is begun anew. Of a shard that was made for followers, as are the next two. */
  resetView(): void;
  /**
   * Codes what the chunk's parameters differ from the view by, and adds what that decodes to to the view, which so stays what
   * everybody holds who decodes all differences, whatever codecs they are in. Returns the bytes written.
   */
  encodeDifference(offset: number, length: number, codec: CodecName, out: Uint8Array): number;
  /** As `encodeParameters`, of the view. */
  encodeView(offset: number, length: number, codecId: number, out: Uint8Array): number;
  /** CRC-32C of the chunk's parameters as little-endian float32, or of what `previous` is the checksum of followed by them. */
  checksum(offset: number, length: number, previous?: number): number;
  readParameters(out: Float32Array, offset?: number): void;
  writeParameters(values: Float32Array, offset?: number): void;
  /** Copies state vector `index` of the optimizer (m = 0, v = 1 for Adam) as it is kept; `offset` counts what the vector is of, values or bytes. */
  readState(index: number, out: StateVector, offset?: number): void;
  writeState(index: number, values: StateVector, offset?: number): void;
  setSteps(steps: number): void;
}

/** What the contributions of a commit bring home of one chunk of the parameters, or of a state vector of the optimizer, coded as it came. */
export interface RecordedChunk {
  readonly kind: 'gradient' | 'parameters' | 'state';
  /** Number of the segment, or of the state vector. */
  readonly index: number;
  /** Values [offset, offset + length) of the model's vector. */
  readonly offset: number;
  readonly length: number;
  /** In the order in which they are added. `part` counts the accepted contributions of the commit, in the order of the event log. */
  readonly parts: readonly { readonly part: number; readonly codecId: number; readonly bytes: Uint8Array }[];
}
