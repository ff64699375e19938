import { LongtailError, type Rng, type TensorChunk, type TensorHeader } from '@longtail/core';
import {
  checkPayload,
  DECODING_OPTIONS,
  decodeLinkFrame,
  encodeLinkFrame,
  messageType,
  toTensorFrame,
  toTensorHeader,
  validateMessage,
  type Crc32c,
  type WorkerMessage,
} from '@longtail/protocol';

/** Frames and messages that were mutated, and how many of them were well-formed all the same. */
export interface FuzzCount {
  mutated: number;
  wellFormed: number;
}

const packets = messageType('WorkerPacket');

/** Makes mutants of what a worker sends, as bytes, and reads them as the transport does: what passes may go to the server beside the original. */
export class FrameFuzz {
  readonly count: FuzzCount = { mutated: 0, wellFormed: 0 };

  constructor(
    private readonly rng: Rng,
    /** Mutants of each frame and message. */
    private readonly each: number,
    private readonly crc32c: Crc32c,
  ) {}

  chunks(original: TensorChunk): readonly TensorChunk[] {
    const { header, payload } = original;
    const total = payload.length;
    const frame = encodeLinkFrame({ session: 1, frame: 'piece', piece: { header: toTensorFrame(header), seq: 1, transfer: 1, position: 0, at: 0, bytes: total, total } });
    return this.mutants(() => {
      const what = this.rng.below(4);
      const link = decodeLinkFrame(what === 0 ? frame : this.mutate(frame));
      const bytes = what < 2 ? this.mutate(payload) : payload;
      if (link.frame !== 'piece' || link.piece.bytes !== bytes.length || link.piece.total !== bytes.length) return undefined;
      const read = toTensorHeader(link.piece.header);
      // Half of the payloads that are others have their checksum.
      const mutant = what < 2 && this.rng.below(2) === 0 ? { ...read, crc: this.crc32c(bytes) } : read;
      checkPayload(mutant, bytes, this.crc32c);
      return bytes !== payload && isSamePlace(mutant, header) ? undefined : { header: mutant, payload: bytes };
    });
  }

  /** But for what a worker says of its own work: whether that is true nobody else knows. */
  messages(original: WorkerMessage): readonly WorkerMessage[] {
    const bytes = packets.encode(packets.fromObject({ message: original })).finish();
    return this.mutants(() => {
      const packet = validateMessage('WorkerPacket', decodePacket(this.mutate(bytes)));
      if (packet.packet !== 'message' || packet.message.message === 'leave' || packet.message.message === 'taskDone') return undefined;
      return packet.message;
    });
  }

  private mutants<Made>(make: () => Made | undefined): readonly Made[] {
    const made: Made[] = [];
    for (let i = 0; i < this.each; i++) {
      this.count.mutated++;
      try {
        const one = make();
        if (one !== undefined) made.push(one);
      } catch (error) {
        if (!(error instanceof LongtailError) || (error.code !== 'protocol' && error.code !== 'checksum')) throw error;
      }
    }
    this.count.wellFormed += made.length;
    return made;
  }

  /** Some bits, bytes or the length are others. */
  private mutate(original: Uint8Array): Uint8Array {
    const { rng } = this;
    const bytes = new Uint8Array(original); // a copy, of a Buffer too
    for (let changes = 1 + rng.below(3); changes > 0 && bytes.length > 0; changes--) {
      const at = rng.below(bytes.length);
      bytes[at] = [bytes[at]! ^ (1 << rng.below(8)), rng.below(256), 0, 255][rng.below(4)]!;
    }
    switch (rng.below(8)) {
      case 0:
        return bytes.slice(0, rng.below(bytes.length + 1));
      case 1:
        return Uint8Array.from([...bytes, ...Array.from({ length: 1 + rng.below(9) }, () => rng.below(256))]);
      default:
        return bytes;
    }
  }
}

const PLACE: readonly (keyof TensorHeader)[] = ['run', 'kind', 'stage', 'fragment', 'task', 'round', 'baseVersion', 'codec', 'start', 'chunk', 'chunks', 'offset', 'length'];

/** Other values where the server expects some of this worker are a contribution like any other. */
function isSamePlace(a: TensorHeader, b: TensorHeader): boolean {
  return PLACE.every((key) => a[key] === b[key]);
}

function decodePacket(bytes: Uint8Array): unknown {
  try {
    return packets.toObject(packets.decode(bytes), DECODING_OPTIONS);
  } catch (error) {
    throw new LongtailError(`cannot be read: ${String(error)}`, { code: 'protocol' });
  }
}
