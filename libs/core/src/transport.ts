import type { TensorHeader } from './wire.js';

/** Memory of a sender that is not written to as long as somebody holds it. */
export interface Loan {
  hold(): void;
  /** Once for each `hold`. */
  release(): void;
}

/** One chunk of a tensor as it arrived. The payload is the receiver's to keep, or lies where `place` put it. */
export interface TensorChunk {
  readonly header: TensorHeader;
  readonly payload: Uint8Array;
  /** Of a payload in the sender's memory, for a receiver that reads on after `tensor`. */
  readonly loan?: Loan | undefined;
}

/** Memory for bytes that will be sent: in it, they reach peers on this host without a copy. */
export type AllocateTensor = (bytes: number) => Uint8Array;

/** A tensor to send, chunk by chunk: `chunk` is called when the link has room, so that coding overlaps with sending. */
export interface OutgoingTensor {
  readonly header: Omit<TensorHeader, 'chunk' | 'chunks' | 'offset' | 'length' | 'crc'>;
  /** Values in all and in each chunk but the last. */
  readonly length: number;
  readonly chunkLength: number;
  /** The coded bytes of values [offset, offset + length). They must not change until the tensor is delivered. */
  chunk(offset: number, length: number): Uint8Array;
  /** Of the memory that all chunks lie in. @default receivers are done with it once the tensor is delivered */
  readonly loan?: Loan | undefined;
}

export interface ConnectionHandlers<Receive> {
  message(message: Receive): void;
  /**
   * Where the next chunk's bytes shall lie: `payload` is then this memory, of exactly `bytes` bytes. `borrow`: wherever they are,
   * perhaps in the sender's memory, as `tensor` is done with them when it returns or its promise resolves. Both save copies and
   * allocations; asked just before `tensor`. Without it, or when it gives nothing, the payload comes in memory of its own. `isLent`: what is borrowed
   * comes with a loan.
   */
  place?(header: TensorHeader, bytes: number, isLent?: boolean): Uint8Array | 'borrow' | undefined;
  /** The next chunk is read when the promise resolves: that is the credit the sender waits for. */
  tensor(chunk: TensorChunk): void | Promise<void>;
  /** Called once; nothing comes after it. */
  closed(reason: string): void;
}

/** Traffic of a connection's tensors, headers included, but for those that only measure it. */
export interface ConnectionTraffic {
  readonly bytesSent: number;
  readonly bytesReceived: number;
}

/** What tensors make of a link. */
export interface LinkRate {
  readonly bitsPerSecond: number;
  /** The smallest of several. */
  readonly roundTripMs: number;
}

/** A link to one peer. Decisions and tensors travel on separate sockets: no heartbeat waits behind a gradient. */
export interface Connection<Send, Receive> {
  /** The peer's address or identity, for messages to people. */
  readonly peer: string;
  readonly traffic: ConnectionTraffic;
  /** What tensors that are sent to the peer make of the link, smoothed; another object when more is known, undefined until enough was sent. */
  readonly sending: LinkRate | undefined;
  /**
   * Receivers read what is sent where it lies, and nobody minds when what is left of a send that was given up changes on its way: it may lie in memory that
   * is used again once the send is over. @default false: a socket may go on reading, a checksum would fail
   */
  readonly handsOver?: boolean;
  /** Sets the handlers; nothing is delivered before. Call once. */
  start(handlers: ConnectionHandlers<Receive>): void;
  /** Queues a decision; never blocks. Ignored after close. */
  send(message: Send): void;
  /** Resolves when the peer's application has taken every chunk; rejects with LongtailError `unreachable` when the link ends first, or the signal's reason. */
  sendTensor(tensor: OutgoingTensor, signal: AbortSignal): Promise<void>;
  /** Ends the link after what was sent; `reason` reaches the peer. */
  close(reason: string): void;
}

/**
 * A direct link between two workers, for tensors alone. Chunks come in the order they were sent, those of several tensors
 * in turn. It ends for both when either closes it or dies, and never comes back: what was in flight then is unknown.
 */
export interface PeerLink extends Pick<Connection<never, never>, 'peer' | 'traffic' | 'sending' | 'sendTensor' | 'close'> {
  /** Sets the handlers; nothing is delivered before. Call once. */
  start(handlers: Omit<ConnectionHandlers<never>, 'message'>): void;
}

/** Where neighbours reach a worker, and how it reaches them. A link's key is the server's to give: the same to both of its ends, and to no other link. */
export interface PeerNetwork {
  /** `host:port` that neighbours dial. */
  readonly address: string;
  /**
   * The link that shows the key, from the peer with that CURVE public key where links are encrypted. Throws LongtailError `timeout` when none
   * does in 10 s, or the signal's reason.
   */
  accept(key: string, signal: AbortSignal, curveKey?: string): Promise<PeerLink>;
  /** Throws LongtailError `unreachable`, `timeout` when nobody there accepts the key in 10 s, or the signal's reason. */
  dial(address: string, key: string, signal: AbortSignal, curveKey?: string): Promise<PeerLink>;
}
