import { closeSync, fstatSync, openSync, readSync } from 'node:fs';
import { LongtailError, type RecordedChunk } from '@longtail/core';
import { asStorageError } from './storage-error.js';

/** CRC-32C of `bytes`, or of what `previous` is that of followed by them. */
export type Crc32c = (bytes: Uint8Array, previous?: number) => number;

/** JSON before the coded bytes of a chunk, one part behind the other; or behind the last chunk of a version. */
type Head = ChunkHead | { readonly version: number; readonly end: true };

interface ChunkHead extends Omit<RecordedChunk, 'parts'> {
  readonly version: number;
  /** The next record has more parts of this chunk. */
  readonly more?: true;
  readonly parts: readonly { readonly part: number; readonly codecId: number; readonly bytes: number }[];
}

/** Bytes of the head and of what follows it, CRC-32C of the latter, and of all before it and the head; little-endian. */
const PREFIX_BYTES = 16;

/** Of the parts of a record, which may be those of thousands of workers: it is written and read in one call. */
const MAX_PAYLOAD_BYTES = 2 ** 26;

/** The records of a chunk, each in pieces. */
export function* encodeChunk(version: number, { parts, ...place }: RecordedChunk, crc32c: Crc32c, maxPayloadBytes = MAX_PAYLOAD_BYTES): Generator<readonly Uint8Array[]> {
  let to = 0;
  do {
    const from = to;
    for (let bytes = 0; to < parts.length && (to === from || bytes + parts[to]!.bytes.length <= maxPayloadBytes); to++) bytes += parts[to]!.bytes.length;
    const record = parts.slice(from, to);
    const sizes = record.map(({ part, codecId, bytes }) => ({ part, codecId, bytes: bytes.length }));
    yield encodeRecord({ version, ...place, parts: sizes, ...(to < parts.length && { more: true }) }, record.map(({ bytes }) => bytes), crc32c);
  } while (to < parts.length);
}

/** What stands behind the last chunk of a version, in pieces. */
export function encodeEnd(version: number, crc32c: Crc32c): readonly Uint8Array[] {
  return encodeRecord({ version, end: true }, [], crc32c);
}

function encodeRecord(head: Head, payload: readonly Uint8Array[], crc32c: Crc32c): readonly Uint8Array[] {
  const text = new TextEncoder().encode(JSON.stringify(head));
  const prefix = new DataView(new ArrayBuffer(PREFIX_BYTES));
  prefix.setUint32(0, text.length, true);
  prefix.setUint32(4, payload.reduce((sum, { length }) => sum + length, 0), true);
  prefix.setUint32(8, payload.reduce((checksum, bytes) => crc32c(bytes, checksum), 0), true);
  prefix.setUint32(12, headChecksum(prefix, text, crc32c), true);
  return [new Uint8Array(prefix.buffer), text, ...payload];
}

/** Where a version's records are in the file. */
export interface RecordedPlace {
  readonly version: number;
  readonly from: number;
  readonly to: number;
}

/** A recording that is open to be read. Errors are LongtailError `missing-file`, `storage`, `checksum`. */
export class RecordFile {
  private readonly fd: number;
  readonly bytes: number;

  constructor(
    private readonly path: string,
    private readonly crc32c: Crc32c,
  ) {
    try {
      this.fd = openSync(path, 'r');
      this.bytes = fstatSync(this.fd).size;
    } catch (cause) {
      throw asStorageError(cause, 'open the recording', path);
    }
  }

  /** Versions that are whole, by the heads of their records, up to the first that is damaged or cut off. */
  scan(): { readonly versions: readonly RecordedPlace[]; readonly damage: LongtailError | undefined } {
    const versions: RecordedPlace[] = [];
    let from = 0;
    try {
      for (let at = 0; ;) {
        const record = this.headAt(at);
        if (record === undefined) return { versions, damage: undefined };
        at = record.next;
        if (!('end' in record.head)) continue;
        versions.push({ version: record.head.version, from, to: at });
        from = at;
      }
    } catch (error) {
      if (!(error instanceof LongtailError) || error.code !== 'checksum') throw error;
      return { versions, damage: error };
    }
  }

  *chunks({ version, from, to }: RecordedPlace): Generator<RecordedChunk> {
    let parts: RecordedChunk['parts'] = [];
    for (let at = from; at < to;) {
      const { head, payloadAt, next, payloadChecksum } = this.headAt(at)!;
      at = next;
      if ('end' in head) continue;
      const payload = this.read(payloadAt, next - payloadAt);
      if (this.crc32c(payload) !== payloadChecksum) throw this.damaged(payloadAt, `in what leads to version ${version}`);
      let read = 0;
      parts = [...parts, ...head.parts.map(({ part, codecId, bytes }) => ({ part, codecId, bytes: payload.subarray(read, (read += bytes)) }))];
      if (head.more) continue;
      const { kind, index, offset, length } = head;
      yield { kind, index, offset, length, parts };
      parts = [];
    }
  }

  close(): void {
    closeSync(this.fd);
  }

  /** Undefined: the file ends before the record does. */
  private headAt(at: number): { readonly head: Head; readonly payloadAt: number; readonly next: number; readonly payloadChecksum: number } | undefined {
    if (at + PREFIX_BYTES > this.bytes) return undefined;
    const prefix = viewOf(this.read(at, PREFIX_BYTES));
    const headAt = at + PREFIX_BYTES;
    const payloadAt = headAt + prefix.getUint32(0, true);
    const next = payloadAt + prefix.getUint32(4, true);
    if (next > this.bytes) return undefined;
    const text = this.read(headAt, payloadAt - headAt);
    if (headChecksum(prefix, text, this.crc32c) !== prefix.getUint32(12, true)) throw this.damaged(at, 'in the head of a record');
    return { head: JSON.parse(new TextDecoder().decode(text)) as Head, payloadAt, next, payloadChecksum: prefix.getUint32(8, true) };
  }

  private read(at: number, length: number): Uint8Array {
    const bytes = new Uint8Array(length);
    try {
      for (let read = 0; read < length;) {
        const count = readSync(this.fd, bytes, read, length - read, at + read);
        if (count === 0) throw this.damaged(at, 'it ends too early');
        read += count;
      }
    } catch (cause) {
      throw asStorageError(cause, 'read the recording', this.path);
    }
    return bytes;
  }

  private damaged(at: number, what: string): LongtailError {
    return new LongtailError(`The recording is damaged at byte ${at}, ${what}.`, { code: 'checksum', where: this.path, hint: 'Restore the file from a copy.' });
  }
}

/** Of the prefix but for itself, and the head. */
function headChecksum(prefix: DataView, text: Uint8Array, crc32c: Crc32c): number {
  return crc32c(text, crc32c(new Uint8Array(prefix.buffer, prefix.byteOffset, PREFIX_BYTES - 4)));
}

function viewOf({ buffer, byteOffset, byteLength }: Uint8Array): DataView {
  return new DataView(buffer, byteOffset, byteLength);
}
