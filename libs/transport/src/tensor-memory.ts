import { randomBytes } from 'node:crypto';
import { closeSync, fchmodSync, ftruncateSync } from 'node:fs';
import { totalmem } from 'node:os';
import type { Segment } from '@longtail/protocol';
import { FreeRanges } from './free-ranges.js';
import { nativeMemory, type NativeMemory } from './native-memory.js';

/** Granularity of mappings. The first page stays unused: a piece at position 0 lies in no segment. */
export const PAGE_BYTES = 4_096;

export const NO_SEGMENT: Segment = { name: '', pid: 0, fd: 0, bytes: 0 };

/** Memory for tensors to send: peers on the same host read them where they are. */
export interface TensorMemory {
  /** Names it to peers; NO_SEGMENT where memory cannot be shared. */
  readonly segment: Segment;
  /** Memory that is given back when nothing refers to it any more. Shared, unless the host has none left to share. */
  allocate(bytes: number): Uint8Array;
  /** Where the segment holds these bytes; undefined when they lie elsewhere. */
  positionOf(bytes: Uint8Array): number | undefined;
  /** Nobody can open it any more; what is mapped stays, at both ends. */
  close(): void;
}

/** One for a process is enough, whatever it listens on and dials. */
export function createTensorMemory(): TensorMemory {
  const native = nativeMemory();
  return (native && SharedMemory.create(native)) ?? new PrivateMemory();
}

/** Where nothing can be shared: tensors go over the network. */
class PrivateMemory implements TensorMemory {
  readonly segment = NO_SEGMENT;

  allocate(bytes: number): Uint8Array {
    return new Uint8Array(bytes);
  }

  positionOf(): undefined {
    return undefined;
  }

  close(): void {
    // Nothing is held.
  }
}

interface Region {
  readonly address: bigint;
  readonly position: number;
  readonly bytes: number;
}

/**
 * A file in memory without a name in any folder: it ends with the last process that has it, however that ends. Its size is that of the
 * machine's memory and fixed, so that no peer can make a reader of it fail; it takes memory only where something was allocated.
 */
class SharedMemory implements TensorMemory {
  private readonly free: FreeRanges;
  private readonly positions = new WeakMap<ArrayBufferLike, number>();
  /** Unmaps what no ArrayBuffer shows any more: a socket may read one until then. */
  private readonly regions = new FinalizationRegistry<Region>((region) => this.freeRegion(region));
  private closed = false;

  private constructor(
    private readonly native: NativeMemory,
    readonly segment: Segment,
  ) {
    this.free = new FreeRanges(PAGE_BYTES, segment.bytes);
  }

  static create(native: NativeMemory): SharedMemory | undefined {
    const name = `longtail-${randomBytes(16).toString('hex')}`;
    const fd = native.createFile(name);
    if (fd === undefined) return undefined;
    const bytes = wholePages(totalmem());
    try {
      fchmodSync(fd, 0o600);
      ftruncateSync(fd, bytes);
      if (native.fixSize(fd)) return new SharedMemory(native, { name, pid: process.pid, fd, bytes });
    } catch {
      // Files of that size are not allowed here.
    }
    closeSync(fd);
    return undefined;
  }

  allocate(bytes: number): Uint8Array {
    const buffer = bytes > 0 && !this.closed ? this.mapRegion(wholePages(bytes)) : undefined;
    return buffer === undefined ? new Uint8Array(bytes) : new Uint8Array(buffer, 0, bytes);
  }

  positionOf({ buffer, byteOffset, length }: Uint8Array): number | undefined {
    const position = this.positions.get(buffer);
    return position === undefined || length === 0 ? undefined : position + byteOffset;
  }

  close(): void {
    if (this.closed) return;
    this.closed = true;
    closeSync(this.segment.fd);
  }

  private mapRegion(bytes: number): ArrayBuffer | undefined {
    const { native, segment } = this;
    const position = this.free.take(bytes);
    if (position === undefined) return undefined;
    const address = native.reserve(segment.fd, position, bytes) ? native.map(segment.fd, position, bytes, 'write') : undefined;
    if (address === undefined) {
      this.giveBack(position, bytes);
      return undefined;
    }
    const buffer = native.view(address, bytes);
    this.positions.set(buffer, position);
    this.regions.register(buffer, { address, position, bytes });
    return buffer;
  }

  private freeRegion({ address, position, bytes }: Region): void {
    this.native.unmap(address, bytes);
    if (!this.closed) this.giveBack(position, bytes);
  }

  private giveBack(position: number, bytes: number): void {
    this.native.discard(this.segment.fd, position, bytes);
    this.free.give(position, bytes);
  }
}

function wholePages(bytes: number): number {
  return Math.ceil(bytes / PAGE_BYTES) * PAGE_BYTES;
}
