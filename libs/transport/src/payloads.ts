import type { Crc32c } from '@longtail/protocol';
import type { TensorMemory } from './tensor-memory.js';

/** A chunk's bytes while any connection has them in flight. */
export class Payload {
  users = 0;
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
 * broadcast computes one checksum, however many peers it has.
 */
export class Payloads {
  private readonly byBuffer = new WeakMap<ArrayBufferLike, Map<string, Payload>>();

  constructor(
    private readonly crc32c: Crc32c,
    /** Read by peers on this host; without it everything goes over the network. */
    readonly memory: TensorMemory | undefined,
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
  }
}

function keyOf(bytes: Uint8Array): string {
  return `${bytes.byteOffset}:${bytes.length}`;
}
