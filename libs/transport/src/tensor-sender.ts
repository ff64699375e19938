import { type LinkRate, type LongtailError, type OutgoingTensor, type TensorHeader } from '@longtail/core';
import { toTensorFrame, type LinkFrame, type Received, type Taken, type TensorFrame } from '@longtail/protocol';
import { KeepWarm } from './keep-warm.js';
import type { Payload, Payloads } from './payloads.js';
import { SendWindow, type SentMark } from './send-window.js';
import { SendingMeter } from './sending-meter.js';
import type { UploadLimit } from './upload-limit.js';

/** Pieces of a chunk on the wire: 32 KiB while the window is small, so that many are in flight on a slow link; 1 MiB on a fast one. */
const LEAST_PIECE_BYTES = 32 * 1024;
const MOST_PIECE_BYTES = 1024 * 1024;

/** Chunks that the peer's application has not taken yet, of one connection. A chunk more is started when fewer bytes wait. */
export const UNTAKEN_BYTES = 16 * 1024 * 1024;

/** A chunk that waits takes memory, however few bytes it has. */
export function waitingBytesOf(bytes: number): number {
  return bytes + 1024;
}

/**
 * The queue that a sender keeps before a slow link is what `leastBytes` and `gain` add to the product: long enough that an event loop may stand
 * for some 40 ms, and of four senders together before 50 Mbit/s shorter than what home links hold.
 */
const WINDOW = {
  leastBytes: 2 * LEAST_PIECE_BYTES,
  burstBytes: 4 * LEAST_PIECE_BYTES,
  nearMs: 2,
  mostBytes: 16 * MOST_PIECE_BYTES,
  gain: 1.75,
  paceGain: 1.25,
};

/** Says nothing. */
export const IDLE = { frame: 'idle', idle: { padding: '' } } as const;
const PADDED = { frame: 'idle', idle: { padding: ' '.repeat(4_000) } } as const;

/** Opening TCP's window sends half a product up to five times: a small part of what is exchanged. */
const LEAST_EXCHANGE_PRODUCTS = 32;

/** Queues a link frame and perhaps a piece's bytes for the peer. */
export type SendFrame = (frame: WithoutSession<LinkFrame>, bytes?: Uint8Array) => void;
type WithoutSession<T> = T extends unknown ? Omit<T, 'session'> : never;

interface Transfer {
  readonly id: number;
  readonly tensor: OutgoingTensor;
  readonly chunks: number;
  nextChunk: number;
  /** Chunks that the peer has not taken. */
  chunksLeft: number;
  piecesInFlight: number;
  /** Why it was given up; it settles when no piece is in flight, as until then the link may read its bytes. */
  givenUp: { readonly reason: unknown } | undefined;
  settle(error?: unknown): void;
}

/** The chunk that is being cut into pieces. */
interface Cut {
  readonly transfer: Transfer;
  readonly header: TensorFrame;
  readonly payload: Payload;
  /** In the memory that the peer reads; undefined when the bytes travel. */
  readonly position: number | undefined;
  at: number;
}

interface PieceInFlight {
  readonly transfer: Transfer;
  /** While the piece is in the network. */
  mark: SentMark | undefined;
  readonly payload: Payload;
  /** The last piece of a chunk stays until the application has taken the chunk. */
  readonly last: boolean;
  /** Of a chunk whose last piece came over the network and that is not taken yet. */
  arrivedBytes: number;
}

/** The sending half of a link: tensors into chunks into pieces, as the peer's acknowledgements make room. */
export class TensorSender {
  private readonly unsettled = new Set<Transfer>();
  /** Those with chunks to send, in turn. */
  private readonly transfers: Transfer[] = [];
  private readonly watched = new Map<AbortSignal, { readonly transfers: Set<Transfer>; unwatch(): void }>();
  private readonly inFlight = new Map<number, PieceInFlight>();
  private readonly window = new SendWindow(WINDOW);
  private readonly meter = new SendingMeter();
  private readonly keepWarm: KeepWarm;
  private paceTimer: NodeJS.Timeout | undefined;
  private cut: Cut | undefined;
  private untakenBytes = 0;
  /** Of chunks that have arrived and are not taken; and of the one that arrived last. */
  private behindBytes = 0;
  private newestBytes = 0;
  private lastTransfer = 0;
  private lastSeq = 0;
  private ready = false;
  private shared = false;
  private failure: LongtailError | undefined;

  constructor(
    private readonly payloads: Payloads,
    private readonly nowMs: () => number,
    private readonly sendFrame: SendFrame,
    private readonly uploadLimit?: UploadLimit,
  ) {
    this.keepWarm = new KeepWarm(nowMs, () => sendFrame(IDLE), (usedBytes) => this.openWindow(usedBytes));
  }

  /** What the link made of it of late. */
  get rate(): LinkRate | undefined {
    return this.meter.rate;
  }

  /** The link is open; `shared`: the peer reads this endpoint's tensor memory; `roundTripMs`: of the handshake. */
  open(shared: boolean, roundTripMs: number): void {
    this.window.observeRoundTrip(roundTripMs, true, this.nowMs());
    this.shared = shared;
    this.ready = true;
    this.pump();
  }

  send(tensor: OutgoingTensor, signal: AbortSignal): Promise<void> {
    if (signal.aborted) return Promise.reject(signal.reason as Error);
    if (this.failure !== undefined) return Promise.reject(this.failure);
    return new Promise((resolve, reject) => {
      const chunks = Math.max(1, Math.ceil(tensor.length / tensor.chunkLength));
      const transfer: Transfer = {
        id: ++this.lastTransfer,
        tensor,
        chunks,
        nextChunk: 0,
        chunksLeft: chunks,
        piecesInFlight: 0,
        givenUp: undefined,
        settle: (error) => {
          this.unsettled.delete(transfer);
          this.forget(signal, transfer);
          if (error === undefined) resolve();
          else reject(error as Error);
        },
      };
      this.watch(signal, transfer);
      this.unsettled.add(transfer);
      this.transfers.push(transfer);
      this.pump();
    });
  }

  received({ seq, atMs, share }: Received): void {
    const piece = this.inFlight.get(seq);
    if (piece?.mark === undefined) return;
    const nowMs = this.nowMs();
    const { bytes } = piece.mark;
    const { linkWaits } = this;
    this.window.acknowledged(piece.mark, nowMs, atMs, share === 0 ? Infinity : share);
    // What probes find is told by those who probe.
    if (piece.transfer.tensor.header.kind === 'probe') this.meter.interrupt();
    else this.meter.acknowledged(bytes, linkWaits, nowMs, this.window.shortestRoundTripMs);
    piece.mark = undefined;
    if (piece.last) this.behindBytes += this.newestBytes = piece.arrivedBytes = piece.payload.bytes.length;
    else this.finishPiece(seq, piece);
    this.pump();
  }

  /** There is more to send, and only the link has no room for it. */
  private get linkWaits(): boolean {
    return this.cut !== undefined || (this.transfers.length > 0 && this.isTaken);
  }

  /**
   * The peer's application keeps up. Where it waits for what others send over the same link, whoever is a window ahead of them leaves them
   * his share of it.
   */
  private get isTaken(): boolean {
    return this.untakenBytes < UNTAKEN_BYTES && this.behindBytes - this.newestBytes < this.window.bytes;
  }

  taken({ seq }: Taken): void {
    const piece = this.inFlight.get(seq);
    if (piece === undefined || piece.mark !== undefined) return;
    this.finishPiece(seq, piece);
    this.pump();
  }

  /** The link has ended: everything unfinished rejects. */
  fail(error: LongtailError): void {
    if (this.failure !== undefined) return;
    this.failure = error;
    this.keepWarm.stop();
    clearTimeout(this.paceTimer);
    this.dropCut();
    this.transfers.length = 0;
    for (const { payload } of this.inFlight.values()) this.payloads.release(payload);
    this.inFlight.clear();
    for (const transfer of [...this.unsettled]) transfer.settle(transfer.givenUp === undefined ? error : transfer.givenUp.reason);
  }

  /** One listener a signal, however many tensors are sent under it. */
  private watch(signal: AbortSignal, transfer: Transfer): void {
    const watched = this.watched.get(signal);
    if (watched !== undefined) {
      watched.transfers.add(transfer);
      return;
    }
    const transfers = new Set([transfer]);
    const aborted = (): void => {
      for (const each of [...transfers]) this.giveUp(each, signal.reason);
    };
    signal.addEventListener('abort', aborted, { once: true });
    this.watched.set(signal, { transfers, unwatch: () => signal.removeEventListener('abort', aborted) });
  }

  private forget(signal: AbortSignal, transfer: Transfer): void {
    const watched = this.watched.get(signal)!;
    watched.transfers.delete(transfer);
    if (watched.transfers.size > 0) return;
    watched.unwatch();
    this.watched.delete(signal);
  }

  private finishPiece(seq: number, { transfer, payload, last, arrivedBytes }: PieceInFlight): void {
    this.inFlight.delete(seq);
    transfer.piecesInFlight--;
    if (last) {
      transfer.chunksLeft--;
      this.untakenBytes -= waitingBytesOf(payload.bytes.length);
      this.behindBytes -= arrivedBytes;
    }
    this.payloads.release(payload);
    if (transfer.givenUp !== undefined) this.settleGivenUp(transfer);
    else if (transfer.chunksLeft === 0) transfer.settle();
  }

  private giveUp(transfer: Transfer, reason: unknown): void {
    transfer.givenUp = { reason };
    const index = this.transfers.indexOf(transfer);
    if (index >= 0) this.transfers.splice(index, 1);
    if (this.cut?.transfer === transfer) this.dropCut();
    if (this.ready && transfer.nextChunk > 0) this.sendFrame({ frame: 'withdrawn', withdrawn: { transfer: transfer.id } });
    this.settleGivenUp(transfer);
    this.pump();
  }

  private settleGivenUp(transfer: Transfer): void {
    if (transfer.piecesInFlight === 0) transfer.settle(transfer.givenUp!.reason);
  }

  private dropCut(): void {
    if (this.cut === undefined) return;
    this.untakenBytes -= waitingBytesOf(this.cut.payload.bytes.length);
    this.payloads.release(this.cut.payload);
    this.cut = undefined;
  }

  private pump(): void {
    if (!this.ready || this.failure !== undefined) return;
    while (this.cut !== undefined || this.cutNextChunk()) {
      if (!this.sendPiece(this.cut!)) return;
    }
    if (!this.linkWaits && this.window.hasRoom(LEAST_PIECE_BYTES)) this.window.starve();
  }

  /** Takes the next chunk of the transfer whose turn it is; false when there is none or too much is untaken. */
  private cutNextChunk(): boolean {
    if (!this.isTaken || !this.window.hasRoom(LEAST_PIECE_BYTES)) return false;
    const transfer = this.transfers.shift();
    if (transfer === undefined) return false;
    try {
      this.cut = this.cutChunk(transfer, transfer.nextChunk++);
    } catch (error) {
      this.giveUp(transfer, error);
      return this.cut !== undefined;
    }
    this.untakenBytes += waitingBytesOf(this.cut.payload.bytes.length);
    if (transfer.nextChunk < transfer.chunks) this.transfers.push(transfer);
    return true;
  }

  private cutChunk(transfer: Transfer, chunk: number): Cut {
    const { tensor, chunks } = transfer;
    const offset = chunk * tensor.chunkLength;
    const length = Math.min(tensor.chunkLength, tensor.length - offset);
    const payload = this.payloads.acquire(tensor.chunk(offset, length));
    const position = this.shared ? this.payloads.memory?.positionOf(payload.bytes) : undefined;
    const header: TensorHeader = { ...tensor.header, chunk, chunks, offset, length, crc: position === undefined ? payload.crc : 0 };
    return { transfer, header: toTensorFrame(header), payload, position, at: 0 };
  }

  /** False when the window has no room for it now. */
  private sendPiece(cut: Cut): boolean {
    const { transfer, header, payload, position, at } = cut;
    const total = payload.bytes.length;
    const bytes = position === undefined ? Math.min(this.pieceBytes(), total - at) : total;
    if (position === undefined && !(this.window.hasRoom(bytes) && this.isTime(bytes))) return false;
    const last = at + bytes === total;
    const seq = ++this.lastSeq;
    const mark = position === undefined ? this.window.sent(bytes, this.nowMs()) : undefined;
    if (mark !== undefined && !this.window.isNear) this.keepWarm.used(bytes);
    cut.at += bytes;
    if (last) this.cut = undefined;
    else payload.users++;
    transfer.piecesInFlight++;
    this.inFlight.set(seq, { transfer, mark, payload, last, arrivedBytes: 0 });
    const piece = { seq, transfer: transfer.id, header, at, bytes, total, position: position ?? 0 };
    this.sendFrame({ frame: 'piece', piece }, position === undefined ? payload.bytes.subarray(at, at + bytes) : undefined);
    return true;
  }

  /** False when the pace or the owner's limit says to wait; it goes on by itself then. */
  private isTime(bytes: number): boolean {
    const nowMs = this.nowMs();
    const waitMs = Math.max(this.window.paceMs(nowMs), this.uploadLimit?.waitMs(bytes, nowMs) ?? 0);
    if (waitMs === 0) return true;
    this.paceTimer ??= setTimeout(() => {
      this.paceTimer = undefined;
      this.pump();
    }, waitMs);
    return false;
  }

  /** With half the product in flight TCP opens its window to the whole: in slow start it may double what is in use. */
  private openWindow(usedBytes: number): void {
    const { productBytes } = this.window;
    if (usedBytes < LEAST_EXCHANGE_PRODUCTS * productBytes) return;
    for (let sent = 0; sent < productBytes / 2; sent += PADDED.idle.padding.length) this.sendFrame(PADDED);
  }

  private pieceBytes(): number {
    const quarter = this.window.bytes / 4;
    let bytes = LEAST_PIECE_BYTES;
    while (bytes < MOST_PIECE_BYTES && 2 * bytes <= quarter) bytes *= 2;
    return Math.min(bytes, this.uploadLimit?.pieceBytes ?? bytes);
  }
}
