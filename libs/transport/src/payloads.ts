import type { Crc32c } from '@longtail/protocol';
import type { SharedSegment } from './shared-segment.js';

/** A chunk's bytes while any connection has them in flight. */
export class Payload {
  users = 0;
  /** Where they lie in the shared segment, once a peer on this host was sent them. */
  slots: readonly number[] | undefined;
  readonly key: string;
  readonly buffer: ArrayBufferLike;
  private checksum: number | undefined;

  constructor(
    readonly bytes: Uint8Array,
    private readonly crc32c: Crc32c,
  ) {
    this.key = keyOf(bytes);
    this.buffer = bytes.buffer;
  }

  get crc(): number {
    return (this.checksum ??= this.crc32c(this.bytes));
  }
}

/**
 * The payloads in flight over all connections of an endpoint. Bytes that go to several peers are recognised by where they lie, so a
 * broadcast computes one checksum and makes one copy into the shared segment, however many peers it has.
 */
export class Payloads {
  private readonly byBuffer = new WeakMap<ArrayBufferLike, Map<string, Payload>>();

  constructor(
    private readonly crc32c: Crc32c,
    readonly segment: SharedSegment | undefined,
  ) {}

  acquire(bytes: Uint8Array): Payload {
    let ofBuffer = this.byBuffer.get(bytes.buffer);
    if (ofBuffer === undefined) this.byBuffer.set(bytes.buffer, (ofBuffer = new Map()));
    const key = keyOf(bytes);
    let payload = ofBuffer.get(key);
    if (payload === undefined) ofBuffer.set(key, (payload = new Payload(bytes, this.crc32c)));
    payload.users++;
    return payload;
  }

  release(payload: Payload): void {
    if (--payload.users > 0) return;
    this.byBuffer.get(payload.buffer)?.delete(payload.key);
    if (payload.slots !== undefined) this.segment!.release(payload.slots);
  }

  /** The payload's slots, copied there now unless it has some; undefined when the segment is absent or full. */
  share(payload: Payload): readonly number[] | undefined {
    return (payload.slots ??= this.segment?.place(payload.bytes));
  }
}

function keyOf(bytes: Uint8Array): string {
  return `${bytes.byteOffset}:${bytes.length}`;
}
