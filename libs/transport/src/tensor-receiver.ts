import { setImmediate as afterIo } from 'node:timers/promises';
import { LongtailError, type ConnectionHandlers, type TensorHeader } from '@longtail/core';
import { checkPayload, toTensorHeader, type Crc32c, type Piece } from '@longtail/protocol';
import { messageArrived } from './message-memory.js';
import type { PeerSegment } from './peer-segment.js';
import { UNTAKEN_BYTES, waitingBytesOf } from './tensor-sender.js';

/**
 * Chunks are handed over so many bytes at a time, then everything else has a turn: acknowledgements and replies leave while the next chunks
 * are worked on, and no timer waits for all that has arrived.
 */
const BYTES_A_TURN = 4 * 1024 * 1024;

/** A sender keeps to UNTAKEN_BYTES and a chunk more; one that does not is cut off. */
const MOST_WAITING_BYTES = 2 * UNTAKEN_BYTES + 2 * 16 * 1024 * 1024;

/** The part of an application's handlers that tensors concern. */
export type TensorHandlers = Pick<ConnectionHandlers<never>, 'place' | 'tensor'>;

interface Arrived {
  readonly header: TensorHeader;
  readonly transfer: number;
  /** Of the last piece: acknowledged when the application has taken the chunk. */
  readonly seq: number;
  readonly bytes: number;
  readonly payload: Uint8Array;
  /** It lies in the peer's memory, without a checksum. */
  readonly shared: boolean;
  withdrawn: boolean;
}

interface Partial {
  readonly transfer: number;
  readonly chunk: number;
  readonly payload: Uint8Array;
  arrivedBytes: number;
}

/** The receiving half of a link: pieces into chunks, handed to the application one after the other. */
export class TensorReceiver {
  private segment: PeerSegment | undefined;
  private partial: Partial | undefined;
  /** Memory in which chunks were put together before they were copied to where the application wanted them. */
  private spare: Uint8Array | undefined;
  private waiting: Arrived[] = [];
  private inHand: Arrived | undefined;
  private waitingBytes = 0;
  private handlers: TensorHandlers | undefined;
  private ended = false;

  constructor(
    private readonly crc32c: Crc32c,
    private readonly send: { received(seq: number, bytes: number): void; taken(seq: number): void },
    private readonly fail: (error: LongtailError) => void,
  ) {}

  /** The peer's segment, when it is on this host. */
  open(segment: PeerSegment | undefined): void {
    this.segment = segment;
  }

  start(handlers: TensorHandlers): void {
    this.handlers = handlers;
    void this.deliver();
  }

  /** Nothing is delivered any more. */
  end(): void {
    this.ended = true;
    this.waiting = [];
    this.partial = undefined;
    this.segment?.close();
    this.segment = undefined;
  }

  /** Throws LongtailError `protocol` for a piece that cannot follow the one before. */
  piece(piece: Piece, bytes: Uint8Array | undefined): void {
    const header = toTensorHeader(piece.header);
    this.checkCarriage(piece, bytes);
    const { transfer, seq, position, at, total } = piece;
    if (bytes === undefined) {
      const payload = this.segment!.view(position, total);
      this.arrive({ header, transfer, seq, bytes: total, payload, shared: true, withdrawn: false });
      return;
    }
    this.send.received(seq, piece.bytes);
    messageArrived(piece.bytes);
    const last = at + piece.bytes === total;
    const payload = at === 0 && last ? bytes : this.assemble(piece, bytes);
    if (last) this.arrive({ header, transfer, seq, bytes: total, payload, shared: false, withdrawn: false });
  }

  /** Drops what the application has not taken of a tensor; its pieces are acknowledged, as their sender waits for that. */
  withdrawn(transfer: number): void {
    if (this.partial?.transfer === transfer) this.partial = undefined;
    for (const chunk of this.waiting) {
      if (chunk.transfer === transfer) this.drop(chunk);
    }
    this.waiting = this.waiting.filter((chunk) => !chunk.withdrawn);
    if (this.inHand?.transfer === transfer) this.drop(this.inHand);
  }

  private drop(chunk: Arrived): void {
    if (chunk.withdrawn) return;
    chunk.withdrawn = true;
    this.waitingBytes -= waitingBytesOf(chunk.bytes);
    this.send.taken(chunk.seq);
  }

  private checkCarriage(piece: Piece, bytes: Uint8Array | undefined): void {
    if (piece.position === 0) {
      if (bytes?.length === piece.bytes) return;
      throw broken(`a piece of ${piece.bytes} bytes came with ${bytes?.length ?? 0}`, 'Piece.bytes');
    }
    if (this.segment?.holds(piece.position, piece.bytes) === true) return;
    throw broken(`a piece lies at ${piece.position}, which is not in the peer's segment`, 'Piece.position');
  }

  private assemble(piece: Piece, bytes: Uint8Array): Uint8Array {
    if (piece.at === 0) {
      this.partial = { transfer: piece.transfer, chunk: piece.header.chunk, payload: this.assemblyRoom(piece.total), arrivedBytes: 0 };
    }
    const { partial } = this;
    if (
      partial === undefined ||
      partial.transfer !== piece.transfer ||
      partial.chunk !== piece.header.chunk ||
      partial.arrivedBytes !== piece.at ||
      partial.payload.length !== piece.total
    ) {
      throw broken(`a piece at byte ${piece.at} of chunk ${piece.header.chunk} does not follow the one before`, 'Piece.at');
    }
    partial.payload.set(bytes, piece.at);
    partial.arrivedBytes += piece.bytes;
    if (partial.arrivedBytes === piece.total) this.partial = undefined;
    return partial.payload;
  }

  private assemblyRoom(bytes: number): Uint8Array {
    const { spare } = this;
    if (spare === undefined || spare.length !== bytes) return Buffer.allocUnsafeSlow(bytes);
    this.spare = undefined;
    return spare;
  }

  private arrive(chunk: Arrived): void {
    this.waitingBytes += waitingBytesOf(chunk.bytes);
    if (this.waitingBytes > MOST_WAITING_BYTES) throw broken(`${this.waitingBytes} bytes wait, the limit is ${MOST_WAITING_BYTES}`, 'Piece.seq');
    this.waiting.push(chunk);
    void this.deliver();
  }

  /** Hands over waiting chunks until there are none; one such loop runs at a time. */
  private async deliver(): Promise<void> {
    const { handlers } = this;
    if (handlers === undefined || this.inHand !== undefined) return;
    try {
      let bytesThisTurn = 0;
      for (let chunk = this.waiting.shift(); chunk !== undefined && !this.ended; chunk = this.waiting.shift()) {
        this.inHand = chunk;
        const { payload, spare } = this.unwrap(chunk, handlers);
        const taken = handlers.tensor({ header: chunk.header, payload });
        if (taken !== undefined) await taken;
        if (this.ended) return;
        if (spare !== undefined) this.spare = spare;
        if (!chunk.withdrawn) {
          this.waitingBytes -= waitingBytesOf(chunk.bytes);
          this.send.taken(chunk.seq);
        }
        bytesThisTurn += chunk.bytes;
        if (bytesThisTurn >= BYTES_A_TURN) {
          await afterIo();
          bytesThisTurn = 0;
        }
      }
      this.inHand = undefined;
    } catch (error) {
      this.fail(LongtailError.from(error));
    }
  }

  /** What the application gets of a chunk, and memory that is of use again once it is done with that. */
  private unwrap({ header, payload, shared, bytes }: Arrived, handlers: TensorHandlers): { payload: Uint8Array; spare?: Uint8Array } {
    if (!shared) checkPayload(header, payload, this.crc32c);
    const place = handlers.place?.(header, bytes);
    if (place === undefined && !shared) return { payload };
    const spare = shared ? undefined : payload;
    if (place === 'borrow') return { payload, spare };
    const target = place ?? Buffer.allocUnsafeSlow(bytes);
    if (target.length !== bytes) throw new Error(`place gave ${target.length} bytes for a payload of ${bytes}`);
    target.set(payload);
    return { payload: target, spare };
  }
}

function broken(message: string, where: string): LongtailError {
  return new LongtailError(message, { code: 'protocol', where });
}
