import { closeSync, constants, fstatSync, openSync, readlinkSync } from 'node:fs';
import type { Segment } from '@longtail/protocol';
import { nativeMemory, type NativeMemory } from './native-memory.js';
import { PAGE_BYTES } from './tensor-memory.js';

const NAME = /^longtail-[0-9a-f]{32}$/;

/** Views of chunks that are kept for when the peer uses the same memory again, as it does every round. */
const MOST_VIEWS = 4_096;

/** A peer's tensor memory, mapped for reading. The peer may write to it at any time; that nothing lies beyond its end is certain. */
export class PeerSegment {
  private readonly views = new Map<number, ArrayBuffer>();
  private readonly shown = new FinalizationRegistry<undefined>(() => this.hidden());
  private viewsInUse = 0;
  private closed = false;

  private constructor(
    private readonly native: NativeMemory,
    private readonly bytes: number,
    private readonly address: bigint,
  ) {}

  /** Undefined when this process cannot see that segment: the peer is on another host, in another container or of another user. */
  static open(segment: Segment): PeerSegment | undefined {
    const native = nativeMemory();
    if (native === undefined) return undefined;
    const fd = openNamed(segment);
    if (fd === undefined) return undefined;
    try {
      const { size, uid } = fstatSync(fd);
      if (uid !== process.getuid?.() || size !== segment.bytes || !native.hasFixedSize(fd)) return undefined;
      const address = native.map(fd, 0, size, 'read');
      return address === undefined ? undefined : new PeerSegment(native, size, address);
    } finally {
      closeSync(fd);
    }
  }

  holds(position: number, bytes: number): boolean {
    return position >= PAGE_BYTES && position + bytes <= this.bytes;
  }

  /** The bytes themselves, within what `holds` allows. */
  view(position: number, bytes: number): Uint8Array {
    const known = this.views.get(position);
    if (known?.byteLength === bytes) return new Uint8Array(known);
    if (this.views.size >= MOST_VIEWS) this.views.clear();
    const buffer = this.native.view(this.address + BigInt(position), bytes);
    this.views.set(position, buffer);
    this.shown.register(buffer, undefined);
    this.viewsInUse++;
    return new Uint8Array(buffer);
  }

  /** Unmapped as soon as no view is left. */
  close(): void {
    if (this.closed) return;
    this.closed = true;
    this.views.clear();
    this.unmapIfUnused();
  }

  private hidden(): void {
    this.viewsInUse--;
    this.unmapIfUnused();
  }

  private unmapIfUnused(): void {
    if (this.closed && this.viewsInUse === 0) this.native.unmap(this.address, this.bytes);
  }
}

/**
 * Opens the peer's file if it has the name that the peer says it has. The name is drawn from 128 bits and only a file in memory can bear
 * it, so it is the peer's. It is looked at before, as opening some other file could have effects, and after, as the path may lead elsewhere by then.
 */
function openNamed({ name, pid, fd }: Segment): number | undefined {
  if (!NAME.test(name)) return undefined;
  const path = `/proc/${pid}/fd/${fd}`;
  let own: number | undefined;
  try {
    if (!isNamed(path, name)) return undefined;
    own = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
    if (isNamed(`/proc/self/fd/${own}`, name)) return own;
  } catch {
    // No such process here, or another user's.
  }
  if (own !== undefined) closeSync(own);
  return undefined;
}

function isNamed(path: string, name: string): boolean {
  return readlinkSync(path) === `/memfd:${name} (deleted)`;
}
