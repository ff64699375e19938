import { randomBytes } from 'node:crypto';
import { closeSync, constants, fstatSync, ftruncateSync, openSync, readdirSync, readSync, unlinkSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import type { Segment } from '@longtail/protocol';

/** Memory-backed on Linux; elsewhere there is no such folder and tensors travel over TCP. */
const FOLDER = '/dev/shm';
const NAME = /^longtail-(\d+)-[0-9a-f]{32}$/;

const PAGE_BYTES = 4_096;

/**
 * Where in its first page a slot's payload begins. Large arrays begin at byte 0 or 16 of a page; when the target of the kernel's copy begins
 * 1 to 63 bytes further into its page than the source, AMD's Zen copies at a quarter of its speed (100 MB: 49 ms against 18).
 */
const SLOT_INDENT_BYTES = 2_048;

export const NO_SEGMENT: Segment = { name: '', slots: 0, slotBytes: 0 };

/**
 * Slots of memory that this process writes and others on the same host read: an unlinked-when-done file in /dev/shm, used by
 * positioned reads and writes, which cost one copy each and, unlike a mapping, fail with an error when memory is short or the file shrinks.
 */
export class SharedSegment {
  private readonly free: number[];

  private constructor(
    readonly description: Segment,
    private readonly fd: number,
  ) {
    // The lowest free slot first, so that few slots stay in cache.
    this.free = Array.from({ length: description.slots }, (_, index) => description.slots - index);
  }

  /** Undefined where the host has no shared memory to offer. */
  static create(slots: number, slotBytes: number): SharedSegment | undefined {
    try {
      removeLeftovers();
      const name = `longtail-${process.pid}-${randomBytes(16).toString('hex')}`;
      const fd = openSync(join(FOLDER, name), constants.O_RDWR | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW, 0o600);
      ftruncateSync(fd, slots * strideOf(slotBytes));
      return new SharedSegment({ name, slots, slotBytes }, fd);
    } catch {
      return undefined;
    }
  }

  /** Copies bytes into free slots; undefined when there are too few, or no memory behind them. */
  place(bytes: Uint8Array): readonly number[] | undefined {
    const { slotBytes } = this.description;
    const needed = Math.max(1, Math.ceil(bytes.length / slotBytes));
    if (this.free.length < needed) return undefined;
    const slots = this.free.splice(-needed).reverse();
    try {
      slots.forEach((slot, index) => this.write(slot, bytes.subarray(index * slotBytes, (index + 1) * slotBytes)));
      return slots;
    } catch {
      this.release(slots);
      return undefined;
    }
  }

  release(slots: readonly number[]): void {
    for (let index = slots.length - 1; index >= 0; index--) this.free.push(slots[index]!);
  }

  /** No further peer can open it; those that have keep reading. */
  unlink(): void {
    try {
      unlinkSync(join(FOLDER, this.description.name));
    } catch {
      // Unlinked before, or swept: the wanted state either way.
    }
  }

  close(): void {
    this.unlink();
    closeSync(this.fd);
  }

  private write(slot: number, bytes: Uint8Array): void {
    const position = positionOf(slot, this.description);
    for (let at = 0; at < bytes.length; ) at += writeSync(this.fd, bytes, at, bytes.length - at, position + at);
  }
}

/** A peer's segment, opened for reading. */
export class PeerSegment {
  private constructor(
    private readonly segment: Segment,
    private readonly fd: number,
  ) {}

  /** Undefined when there is no such file of our own user: the peer is on another host. The name is drawn from 128 bits, so a file of that name is the peer's. */
  static open(segment: Segment): PeerSegment | undefined {
    if (!NAME.test(segment.name)) return undefined;
    let fd: number;
    try {
      fd = openSync(join(FOLDER, segment.name), constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
    } catch {
      return undefined;
    }
    const stat = fstatSync(fd);
    if (stat.isFile() && stat.uid === process.getuid?.() && stat.size === segment.slots * strideOf(segment.slotBytes)) return new PeerSegment(segment, fd);
    closeSync(fd);
    return undefined;
  }

  /** Whether `bytes` fit a slot of that number. */
  holds(slot: number, bytes: number): boolean {
    return slot >= 1 && slot <= this.segment.slots && bytes <= this.segment.slotBytes;
  }

  /** Fills `into` from the start of a slot; false when the file has shrunk. */
  read(slot: number, into: Uint8Array): boolean {
    const position = positionOf(slot, this.segment);
    for (let at = 0; at < into.length; ) {
      const count = readSync(this.fd, into, at, into.length - at, position + at);
      if (count === 0) return false;
      at += count;
    }
    return true;
  }

  close(): void {
    closeSync(this.fd);
  }
}

function strideOf(slotBytes: number): number {
  return slotBytes + PAGE_BYTES;
}

function positionOf(slot: number, { slotBytes }: Segment): number {
  return (slot - 1) * strideOf(slotBytes) + SLOT_INDENT_BYTES;
}

/** Segments of processes that were killed before they could unlink them. */
function removeLeftovers(): void {
  for (const name of readdirSync(FOLDER)) {
    const pid = NAME.exec(name)?.[1];
    if (pid !== undefined && !isAlive(Number(pid))) {
      try {
        unlinkSync(join(FOLDER, name));
      } catch {
        // Another process swept it first, or it belongs to another user.
      }
    }
  }
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code !== 'ESRCH';
  }
}
