import {
  LongtailError,
  type ChunkInspection,
  type Codec,
  type CodedChunk,
  type Loan,
  type TensorChunk,
  type TensorHeader,
  type TensorKind,
} from '@longtail/core';
import type { Buffers } from './encoded-tensor.js';
import { chunkSpan, partOf, type Grid } from './grid.js';
import type { NormBound } from './norm-bound.js';

/** A tensor that a task must bring home. */
export interface ExpectedTensor {
  readonly kind: TensorKind;
  /** Number of the segment, or of the state vector. */
  readonly fragment: number;
  readonly codec: Pick<Codec, 'id' | 'maxBytes'>;
  readonly grid: Grid;
  /** Values of the worker's vector before it. */
  readonly start: number;
}

export interface ExpectedDelivery {
  /** Number of the worker in its group. */
  readonly worker: number;
  readonly round: number;
  readonly baseVersion: number;
  /** Samples in the headers; undefined where the worker decides how many (local steps). */
  readonly samples: number | undefined;
  readonly tensors: readonly ExpectedTensor[];
  /** Of the contribution that this is a part of; undefined: only non-finite values are refused. */
  readonly normBound: NormBound | undefined;
}

export type ChunkVerdict =
  | { readonly verdict: 'taken' }
  /** Changes nothing, and the delivery is as good as before. */
  | { readonly verdict: 'ignored'; readonly reason: string }
  /** The delivery is worthless. */
  | { readonly verdict: 'refused'; readonly reason: string; readonly nonFinite: boolean };

/** `loan`: it lies where its sender has it. */
interface TakenChunk extends CodedChunk {
  readonly loan: Loan | undefined;
}

const TAKEN: ChunkVerdict = { verdict: 'taken' };
const FLOAT_BYTES = 4;

type Inspect = (chunk: CodedChunk, length: number) => ChunkInspection;

/**
 * What a task delivers, checked chunk by chunk on arrival and kept as bytes (DESIGN.md section 5, line 3): nothing is
 * added to anything before the whole delivery is known to be good. Holds at most one coded copy of each expected tensor.
 */
export class Delivery {
  /** Chunks that are not here. */
  private missing = 0;
  /** What float32 would have taken more. */
  bytesSaved = 0;
  private readonly worker: number;
  private readonly round: number;
  private readonly baseVersion: number;
  private readonly samples: number | undefined;
  private readonly normBound: NormBound | undefined;
  private readonly tensors: readonly ExpectedTensor[];
  /** Of the tensors, one behind the other. */
  private readonly chunks: (TakenChunk | undefined)[];
  /** The memory of each tensor, where chunks were put in ours. */
  private memory: (Uint8Array | undefined)[] | undefined;
  private read: Promise<void> | undefined;

  /** `buffers` lends the memory that chunks are put in; see `place`. */
  constructor(
    { worker, round, baseVersion, samples, tensors, normBound }: ExpectedDelivery,
    private readonly inspect: Inspect,
    private readonly buffers: Buffers,
  ) {
    this.worker = worker;
    this.round = round;
    this.baseVersion = baseVersion;
    this.samples = samples;
    this.normBound = normBound;
    this.tensors = tensors;
    for (const { grid } of tensors) this.missing += grid.chunks;
    this.chunks = new Array<TakenChunk | undefined>(this.missing);
    normBound?.add(this);
  }

  get complete(): boolean {
    return this.missing === 0;
  }

  /**
   * Memory of `bytes` bytes for a chunk that is expected and not here yet; undefined for others. Asked at once before
   * `take`, so nobody writes to it later and `dispose` may pass it on.
   */
  place(header: TensorHeader, bytes: number): Uint8Array | undefined {
    const tensor = this.find(header.kind, header.fragment);
    if (tensor < 0 || this.mismatch(header, this.tensors[tensor]!) !== undefined || this.at(tensor, header.chunk) !== undefined) return undefined;
    const { codec, grid } = this.tensors[tensor]!;
    // Chunks lie one behind the other, each with room for the most that it may take.
    const room = codec.maxBytes(grid.chunkLength);
    if (bytes > room) return undefined;
    this.memory ??= new Array<Uint8Array | undefined>(this.tensors.length);
    return partOf((this.memory[tensor] ??= this.buffers.take(grid.chunks * room)), header.chunk * room, bytes);
  }

  /** Somebody else reads the bytes until `read`, which never rejects. */
  keepUntil(read: Promise<void>): void {
    this.read = read;
  }

  /** The bytes are not needed any more. */
  dispose(): void {
    if (this.read === undefined) this.giveBack();
    else void this.read.then(() => this.giveBack());
  }

  take({ header, payload, loan }: TensorChunk): ChunkVerdict {
    const tensor = this.find(header.kind, header.fragment);
    const mismatch = tensor < 0 ? `no ${header.kind} ${header.fragment} was asked for` : this.mismatch(header, this.tensors[tensor]!);
    if (mismatch !== undefined) return { verdict: 'refused', reason: mismatch, nonFinite: false };
    if (this.at(tensor, header.chunk) !== undefined) return { verdict: 'ignored', reason: `chunk ${header.chunk} came twice; the first counts` };

    const room = this.tensors[tensor]!.codec.maxBytes(header.length);
    if (payload.length > room) {
      const reason = `chunk ${header.chunk} has ${payload.length} bytes, ${header.length} values take ${room} at most`;
      return { verdict: 'refused', reason, nonFinite: false };
    }
    const chunk = { bytes: payload, codecId: header.codec, weight: 1, loan };
    let seen: ChunkInspection;
    try {
      seen = this.inspect(chunk, header.length);
    } catch (error) {
      return { verdict: 'refused', reason: `chunk ${header.chunk}: ${LongtailError.from(error).message}`, nonFinite: false };
    }
    if (!seen.finite)
      return { verdict: 'refused', reason: `chunk ${header.chunk} of ${header.kind} holds non-finite values`, nonFinite: true };
    this.chunks[this.indexOf(tensor, header.chunk)] = chunk;
    loan?.hold();
    this.bytesSaved += FLOAT_BYTES * header.length - payload.length;
    this.missing--;
    const excess = this.normBound?.exceededWith(header, seen.sumOfSquares);
    return excess === undefined ? TAKEN : { verdict: 'refused', reason: excess, nonFinite: false };
  }

  /** The tensor is part of what was asked for. */
  has(kind: TensorKind, fragment: number): boolean {
    return this.find(kind, fragment) >= 0;
  }

  hasChunk(kind: TensorKind, fragment: number, chunk: number): boolean {
    return this.at(this.find(kind, fragment), chunk) !== undefined;
  }

  /** A chunk that is here. */
  coded(kind: TensorKind, fragment: number, chunk: number, weight = 1): CodedChunk {
    const coded = this.at(this.find(kind, fragment), chunk)!;
    return weight === coded.weight ? coded : { bytes: coded.bytes, codecId: coded.codecId, weight };
  }

  /** Coded bytes of a chunk of a complete delivery. */
  bytes(kind: TensorKind, fragment: number, chunk: number): Uint8Array {
    return this.coded(kind, fragment, chunk).bytes;
  }

  private giveBack(): void {
    const { chunks, memory } = this;
    for (let i = 0; i < chunks.length; i++) {
      chunks[i]?.loan?.release();
      chunks[i] = undefined;
    }
    if (memory === undefined) return;
    for (const buffer of memory) if (buffer !== undefined) this.buffers.give(buffer);
    this.memory = undefined;
  }

  /** Number of a tensor among those that were asked for; −1: it is none of them. */
  private find(kind: TensorKind, fragment: number): number {
    const { tensors } = this;
    for (let i = 0; i < tensors.length; i++) if (tensors[i]!.kind === kind && tensors[i]!.fragment === fragment) return i;
    return -1;
  }

  private indexOf(tensor: number, chunk: number): number {
    let index = chunk;
    for (let before = 0; before < tensor; before++) index += this.tensors[before]!.grid.chunks;
    return index;
  }

  private at(tensor: number, chunk: number): TakenChunk | undefined {
    return this.chunks[this.indexOf(tensor, chunk)];
  }

  /** What is wrong with a chunk's header, or undefined. */
  private mismatch(header: TensorHeader, { codec, grid, start }: ExpectedTensor): string | undefined {
    const { worker, round, baseVersion, samples } = this;
    if (header.stage !== worker) return `worker ${header.stage} of the group is another node`;
    if (header.round !== round) return `round ${header.round} is not the round ${round} of the task`;
    if (header.baseVersion !== baseVersion) return `based on version ${header.baseVersion}, the task on ${baseVersion}`;
    if (header.codec !== codec.id) return `codec ${header.codec} instead of ${codec.id}`;
    if (samples !== undefined && header.samples !== samples) return `${header.samples} samples instead of ${samples}`;
    if (header.chunks !== grid.chunks || header.chunk >= grid.chunks)
      return `chunk ${header.chunk} of ${header.chunks}, expected ${grid.chunks} chunks`;
    if (header.start !== start) return `lies at ${header.start} of the worker's vector, expected at ${start}`;
    const span = chunkSpan(grid, header.chunk);
    if (header.offset !== span.offset || header.length !== span.length) {
      return `chunk ${header.chunk} covers ${header.length} values from ${header.offset}, expected ${span.length} from ${span.offset}`;
    }
    return undefined;
  }
}
