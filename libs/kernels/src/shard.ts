import {
  type ChunkInspection,
  type CodecName,
  type CodedChunk,
  type OptimizerSpec,
  type ParameterShard,
  type StateVector,
  type StepHyper,
  type TopKSpec,
} from '@longtail/core';
import { CODEC_IDS, createCodec } from './codec.js';
import { BLOCK_LENGTH, type KernelsImplementation } from './kernels.js';
import { planStep, type StepKernel } from './optimizer.js';
import { createSegments, type Segment } from './segment.js';
import type { SliceableCodec } from './sliceable-codec.js';

export interface ShardOptions {
  /** Parameters, one float32 each. */
  readonly length: number;
  readonly optimizer: OptimizerSpec;
  /** Keep a view for those who follow by differences; what `top-k` keeps of one. @default nobody follows */
  readonly differences?: TopKSpec;
  /** Values that no step moves, not even by weight decay; in order, not overlapping. @default none */
  readonly frozen?: readonly Span[];
  /** @default 'wasm' */
  readonly implementation?: KernelsImplementation;
  /** Values that one kernel memory holds; a longer shard takes several. @default what fits in 4 GiB */
  readonly segmentLength?: number;
}

/** Values [offset, offset + length). */
interface Span {
  readonly offset: number;
  readonly length: number;
}

/**
 * Parameters (zeros at first) and optimizer state in kernel memory. The work on a chunk goes block by block: decode and
 * add every contribution, then step the optimizer, while the block is in cache.
 *
 * Methods throw LongtailError `protocol` for a contribution of the wrong size or of an unknown codec, before anything
 * has changed, and a plain `Error` for a range outside the shard.
 *
 * @throws LongtailError `internal` when the machine cannot give the memory: 4 bytes a value of each vector, 1.02 of state in 8 bits.
 */
export function createShard({ length, optimizer, differences, frozen = [], implementation, segmentLength }: ShardOptions): ParameterShard {
  const segments = createSegments({ length, optimizer, followed: differences !== undefined, implementation, segmentLength });
  const codecNamed = (name: CodecName): SliceableCodec => createCodec(name, segments[0]!.kernels, differences);
  return new SegmentedShard(length, optimizer, between(frozen, length), segments, codecNamed);
}

class SegmentedShard implements ParameterShard {
  private taken = 0;
  /** The step begun, for each segment. */
  private plans: readonly StepKernel[] = [];
  /** Of a chunk. */
  private difference = new Float32Array(0);
  private differenceCodec: SliceableCodec | undefined;

  constructor(
    readonly length: number,
    private readonly spec: OptimizerSpec,
    private readonly trainable: readonly Span[],
    private readonly segments: readonly Segment[],
    private readonly codecNamed: (name: CodecName) => SliceableCodec,
  ) {}

  get steps(): number {
    return this.taken;
  }

  setSteps(steps: number): void {
    this.taken = steps;
    this.plans = [];
  }

  inspect(chunk: CodedChunk, length: number): ChunkInspection {
    const segment = this.segments[0]!;
    const codec = wholeCodec(segment, chunk, length);
    const values = codec.valuesIn?.(chunk.bytes);
    if (values !== undefined) return segment.kernels.inspect(values);
    let sumOfSquares = 0;
    for (let from = 0; from < length; from += BLOCK_LENGTH) {
      const values = segment.accumulator.subarray(0, Math.min(BLOCK_LENGTH, length - from));
      codec.decode(codec.slice(chunk.bytes, length, from, values.length), values);
      sumOfSquares += segment.kernels.dot(values, values);
    }
    return { finite: Number.isFinite(sumOfSquares), sumOfSquares };
  }

  inspectSum(offset: number, length: number, contributions: readonly CodedChunk[]): ChunkInspection {
    for (const chunk of contributions) wholeCodec(this.segments[0]!, chunk, length);
    let sumOfSquares = 0;
    this.forEachBlock(offset, length, (block) => {
      const sum = reduceBlock(block, contributions, length);
      sumOfSquares += block.segment.kernels.dot(sum, sum);
    });
    return { finite: Number.isFinite(sumOfSquares), sumOfSquares };
  }

  encodeSum(offset: number, length: number, contributions: readonly CodedChunk[], out: Uint8Array): number {
    for (const chunk of contributions) wholeCodec(this.segments[0]!, chunk, length);
    let written = 0;
    this.forEachBlock(offset, length, (block) => {
      const sum = reduceBlock(block, contributions, length);
      written += block.segment.codecs.get(CODEC_IDS.fp32).encode(sum, out.subarray(written));
    });
    return written;
  }

  beginStep(hyper: StepHyper): void {
    this.taken++;
    this.plans = this.segments.map(({ kernels }) => planStep(kernels, this.spec, hyper, this.taken));
  }

  stepChunk(offset: number, length: number, contributions: readonly CodedChunk[], scale: number, measured = false): number {
    if (this.plans.length === 0) throw new Error('stepChunk before beginStep');
    for (const chunk of contributions) wholeCodec(this.segments[0]!, chunk, length);
    let sumOfSquares = 0;
    this.forEachBlock(offset, length, (block) => {
      const { segment, index, from, to } = block;
      const sum = reduceBlock(block, contributions, length);
      if (measured) sumOfSquares += segment.kernels.dot(sum, sum);
      const taken = segment.state.map((vector) => vector.take(from, to));
      for (const span of this.trainable) {
        const first = Math.max(from, span.offset - segment.start);
        const last = Math.min(to, span.offset + span.length - segment.start);
        if (first >= last) continue;
        const state = taken.map((vector) => vector.subarray(first - from, last - from));
        this.plans[index]!(segment.parameters.subarray(first, last), sum.subarray(first - from, last - from), state, scale);
      }
      for (const vector of segment.state) vector.put(from, to);
    });
    return sumOfSquares;
  }

  encodeParameters(offset: number, length: number, codecId: number, out: Uint8Array): number {
    return this.encode(({ parameters }) => parameters, offset, length, codecId, out);
  }

  resetView(): void {
    for (const { parameters, view } of this.segments) view.set(parameters);
  }

  encodeView(offset: number, length: number, codecId: number, out: Uint8Array): number {
    return this.encode(({ view }) => view, offset, length, codecId, out);
  }

  encodeDifference(offset: number, length: number, name: CodecName, out: Uint8Array): number {
    if (this.difference.length < length) this.difference = new Float32Array(length);
    const codec = this.differenceCodec?.name === name ? this.differenceCodec : (this.differenceCodec = this.codecNamed(name));
    const difference = this.difference.subarray(0, length);
    const ofChunk = ({ segment, from, to }: Block): Float32Array => {
      const at = segment.start + from - offset;
      return difference.subarray(at, at + to - from);
    };
    this.forEachBlock(offset, length, (block) => {
      const { segment, from, to } = block;
      segment.kernels.subtract(ofChunk(block), segment.parameters.subarray(from, to), segment.view.subarray(from, to));
    });
    const written = codec.encode(difference, out);
    codec.decode(out.subarray(0, written), difference);
    this.forEachBlock(offset, length, (block) => {
      const { segment, from, to } = block;
      segment.kernels.accumulate(segment.view.subarray(from, to), ofChunk(block), 1);
    });
    return written;
  }

  checksum(offset: number, length: number, previous?: number): number {
    let sum = previous;
    this.forEachBlock(offset, length, ({ segment: { kernels, parameters }, from, to }) => {
      sum = kernels.crc32c(bytesOf(parameters.subarray(from, to)), sum);
    });
    return sum ?? 0;
  }

  readParameters(out: Float32Array, offset = 0): void {
    read(
      this.segments.map(({ parameters }) => parameters),
      out,
      offset,
    );
  }

  writeParameters(values: Float32Array, offset = 0): void {
    write(
      this.segments.map(({ parameters }) => parameters),
      values,
      offset,
    );
  }

  readState(index: number, out: StateVector, offset = 0): void {
    read(this.stateVectors(index), out, offset);
  }

  writeState(index: number, values: StateVector, offset = 0): void {
    write(this.stateVectors(index), values, offset);
  }

  private encode(vectorOf: (segment: Segment) => Float32Array, offset: number, length: number, codecId: number, out: Uint8Array): number {
    let written = 0;
    this.forEachBlock(offset, length, ({ segment, from, to }) => {
      written += segment.codecs.get(codecId).encode(vectorOf(segment).subarray(from, to), out.subarray(written));
    });
    return written;
  }

  private stateVectors(index: number): readonly StateVector[] {
    return this.segments.map(({ state }) => {
      if (state[index] === undefined) throw new Error(`the optimizer has ${state.length} state vectors, none numbered ${index}`);
      return state[index].kept;
    });
  }

  /** Visits [offset, offset + length) in order, in blocks counted from `offset`, which may be cut where segments end. */
  private forEachBlock(offset: number, length: number, visit: (block: Block) => void): void {
    if (!(offset >= 0 && length >= 0 && offset + length <= this.length)) {
      throw new Error(`values ${offset} to ${offset + length} are not within a shard of ${this.length}`);
    }
    this.segments.forEach((segment, index) => {
      const first = Math.max(0, offset - segment.start);
      const last = Math.min(segment.length, offset + length - segment.start);
      for (let from = first, to; from < last; from = to) {
        const chunkFrom = segment.start + from - offset;
        const skipped = chunkFrom % BLOCK_LENGTH;
        to = Math.min(from - skipped + BLOCK_LENGTH, last);
        visit({ segment, index, chunkFrom: chunkFrom - skipped, skipped, from, to });
      }
    });
  }
}

function bytesOf({ buffer, byteOffset, byteLength }: Float32Array): Uint8Array {
  return new Uint8Array(buffer, byteOffset, byteLength);
}

/** What lies between the spans, from 0 to `length`. */
function between(spans: readonly Span[], length: number): readonly Span[] {
  const ends = [0, ...spans.map((span) => span.offset + span.length)];
  const starts = [...spans.map(({ offset }) => offset), length];
  return ends.map((offset, i) => ({ offset, length: starts[i]! - offset })).filter((span) => span.length > 0);
}

interface Block {
  readonly segment: Segment;
  readonly index: number;
  /** Where the block starts in the chunk. */
  readonly chunkFrom: number;
  /** Values of it that the segment before has. */
  readonly skipped: number;
  /** Where the rest starts and ends in the segment. */
  readonly from: number;
  readonly to: number;
}

/** Σ weight_k · decode(chunk_k) of one block of a chunk of `length`, in the order given; the result lies in the segment's accumulator. */
function reduceBlock({ segment, chunkFrom, skipped, from, to }: Block, contributions: readonly CodedChunk[], length: number): Float32Array {
  const sum = segment.accumulator.subarray(0, Math.min(BLOCK_LENGTH, length - chunkFrom));
  if (contributions.length === 0) sum.fill(0);
  contributions.forEach((chunk, k) => {
    const codec = segment.codecs.get(chunk.codecId);
    const bytes = codec.slice(chunk.bytes, length, chunkFrom, sum.length);
    if (k > 0) return codec.decodeAccumulate(bytes, sum, chunk.weight);
    codec.decode(bytes, sum);
    if (chunk.weight !== 1) segment.kernels.scale(sum, chunk.weight);
  });
  return sum.subarray(skipped, skipped + to - from);
}

/** The chunk's codec, once it is known that the bytes are `length` values of it. */
function wholeCodec(segment: Segment, chunk: CodedChunk, length: number): SliceableCodec {
  const codec = segment.codecs.get(chunk.codecId);
  codec.checkSize(chunk.bytes, length);
  return codec;
}

/** Elements [offset, offset + out.length) of the vectors one after the other. */
function read(vectors: readonly StateVector[], out: StateVector, offset: number): void {
  for (const { vector, from, to, at } of partsOf(vectors, out, offset)) out.set(vector.subarray(from, to), at);
}

function write(vectors: readonly StateVector[], values: StateVector, offset: number): void {
  for (const { vector, from, to, at } of partsOf(vectors, values, offset)) vector.set(values.subarray(at, at + to - from), from);
}

interface Part {
  readonly vector: StateVector;
  readonly from: number;
  readonly to: number;
  /** Where it begins in the whole. */
  readonly at: number;
}

function partsOf(vectors: readonly StateVector[], whole: StateVector, offset: number): readonly Part[] {
  const total = vectors.reduce((sum, { length }) => sum + length, 0);
  const end = offset + whole.length;
  if (!(offset >= 0 && end <= total)) throw new Error(`values ${offset} to ${end} are not within a shard of ${total}`);
  if (whole.BYTES_PER_ELEMENT !== vectors[0]!.BYTES_PER_ELEMENT) throw new Error('the vector is kept in another format');
  let start = 0;
  return vectors.flatMap((vector) => {
    const from = Math.max(0, offset - start);
    const to = Math.min(vector.length, end - start);
    const part = { vector, from, to, at: start + from - offset };
    start += vector.length;
    return from < to ? [part] : [];
  });
}
