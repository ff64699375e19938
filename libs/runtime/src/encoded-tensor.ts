import type { AllocateTensor, Loan, OutgoingTensor } from '@longtail/core';
import { chunkSpan, partOf, type Grid } from './grid.js';

/** Codes chunk `chunk` into `out` and returns the bytes written. */
export type FillChunk = (span: { readonly offset: number; readonly length: number }, out: Uint8Array, chunk: number) => number;

export interface Buffers {
  take(bytes: number): Uint8Array;
  give(buffer: Uint8Array): void;
}

/** Large buffers, used again. Keeps at most `capacity`, of the size asked for last. */
export class BufferPool implements Buffers {
  private readonly spare: Uint8Array[] = [];
  /** Asked for last. */
  bytes = 0;

  constructor(
    private readonly capacity: number,
    private readonly allocate: AllocateTensor = (bytes) => new Uint8Array(bytes),
  ) {}

  take(bytes: number): Uint8Array {
    this.bytes = bytes;
    for (let last = this.spare.pop(); last !== undefined; last = this.spare.pop()) if (last.length === bytes) return last;
    return this.allocate(bytes);
  }

  clear(): void {
    this.spare.length = 0;
  }

  give(buffer: Uint8Array): void {
    if (this.spare.length < this.capacity) this.spare.push(buffer);
  }
}

/** A pool for each size, of which there are few: the segments of a model differ. Cleared when they are cut anew. */
export class BufferPools implements Buffers {
  private pools: readonly BufferPool[] = [];

  /** Of each pool. */
  constructor(
    private readonly capacity: number,
    private readonly allocate?: AllocateTensor,
  ) {}

  take(bytes: number): Uint8Array {
    let pool = this.poolOf(bytes);
    if (pool === undefined) this.pools = [...this.pools, (pool = new BufferPool(this.capacity, this.allocate))];
    return pool.take(bytes);
  }

  give(buffer: Uint8Array): void {
    this.poolOf(buffer.length)?.give(buffer);
  }

  clear(): void {
    this.pools = [];
  }

  private poolOf(bytes: number): BufferPool | undefined {
    for (const pool of this.pools) if (pool.bytes === bytes) return pool;
    return undefined;
  }
}

/**
 * A tensor coded once and sent to many. Chunks are coded in order, when somebody asks for them or when `advance` is
 * called: sending overlaps with whatever makes them (the commit's pass, for parameters). Its buffer goes back to the pool
 * only after every receiver has acknowledged it, as a socket may read it until then, and nobody holds it.
 */
export class EncodedTensor implements Loan {
  private buffer: Uint8Array | undefined;
  private readonly coded: (Uint8Array | undefined)[];
  /** Chunks that are coded. */
  private count = 0;
  private users = 0;
  private retired = false;
  private intact = true;

  constructor(
    readonly grid: Grid,
    readonly version: number,
    readonly codecId: number,
    private readonly chunkBytes: number,
    private fill: FillChunk | undefined,
    private readonly pool: Buffers,
  ) {
    this.coded = new Array<Uint8Array | undefined>(grid.chunks);
  }

  /** Somebody is sent it, or was. */
  get wanted(): boolean {
    return this.users > 0 || this.count > 0;
  }

  /** Bytes that it takes at most. */
  get room(): number {
    return this.grid.chunks * this.chunkBytes;
  }

  get complete(): boolean {
    return this.count === this.grid.chunks;
  }

  /** Codes the next chunk. */
  advance(): void {
    const chunk = this.count;
    const slot = this.slot(chunk);
    const bytes = this.fill!(chunkSpan(this.grid, chunk), slot, chunk);
    this.coded[chunk] = partOf(slot, 0, bytes);
    this.count++;
    // It may know all that a version was made of.
    if (this.complete) this.fill = undefined;
  }

  /** The coded chunk at `offset`; codes up to it where that has not happened. */
  bytes(offset: number): Uint8Array {
    const chunk = offset / this.grid.chunkLength;
    while (this.count <= chunk) this.advance();
    return this.coded[chunk]!;
  }

  /** As it is sent, whoever it is sent to. */
  outgoing(header: OutgoingTensor['header']): OutgoingTensor {
    return new Outgoing(header, this);
  }

  /** Somebody starts to send it, or to read it. */
  hold(): void {
    this.users++;
  }

  /** That ended; `acknowledged`: nobody reads the buffer any more on its account. */
  release(acknowledged = true): void {
    this.users--;
    this.intact &&= acknowledged;
    this.recycle();
  }

  /** Nobody will start to send it any more. */
  retire(): void {
    this.retired = true;
    this.recycle();
  }

  private recycle(): void {
    if (this.retired && this.users === 0 && this.intact && this.complete) {
      this.intact = false;
      this.pool.give(this.buffer!);
    }
  }

  private slot(chunk: number): Uint8Array {
    this.buffer ??= this.pool.take(this.room);
    return partOf(this.buffer, chunk * this.chunkBytes, this.chunkBytes);
  }
}

/** A class, so that thousands that are under way have no function of their own. */
class Outgoing implements OutgoingTensor {
  constructor(
    readonly header: OutgoingTensor['header'],
    readonly loan: EncodedTensor,
  ) {}

  get length(): number {
    return this.loan.grid.length;
  }

  get chunkLength(): number {
    return this.loan.grid.chunkLength;
  }

  chunk(offset: number): Uint8Array {
    return this.loan.bytes(offset);
  }
}
