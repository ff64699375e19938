import { LongtailError, type Connection, type ConnectionHandlers, type ConnectionTraffic, type LinkRate, type OutgoingTensor } from '@longtail/core';
import type { Close } from '@longtail/protocol';
import { RateBound } from './rate-bound.js';
import type { TensorLink } from './tensor-link.js';

/** Decisions queued to a peer that does not read them; beyond it the session ends. */
const MOST_QUEUED_MESSAGES = 4_096;

/** Decisions of a peer in a second; nobody who means well comes near it. */
const MOST_MESSAGES_A_SECOND = 10_000;

/** What travels on a session's stream, either way. */
type Packet<Message> = { readonly packet: 'message'; readonly message: Message } | { readonly packet: 'close'; readonly close: Close };

/** A gRPC stream as a session uses it: both ends' stream classes fit. */
interface PacketStream<Send> {
  readonly writableLength: number;
  write(packet: Packet<Send>): boolean;
  end(): void;
  pause(): void;
  resume(): void;
  on(event: 'data', listener: (packet: unknown) => void): unknown;
  on(event: 'end' | 'close' | 'cancelled', listener: () => void): unknown;
  on(event: 'error', listener: (error: Error) => void): unknown;
}

export interface SessionOptions<Send, Receive> {
  readonly peer: string;
  readonly stream: PacketStream<Send>;
  readonly link: TensorLink;
  /** Throws LongtailError `protocol`. */
  readonly validate: (packet: unknown) => Packet<Receive>;
  /** Looks at a decision before it is sent, and may replace it. */
  readonly outgoing: (message: Send) => Send;
  /** Frees what the session holds; called once, when it has ended. */
  readonly release: () => void;
}

/** A worker's session at either end: decisions on the gRPC stream, tensors on the link. It ends as a whole. */
export class Session<Send, Receive> implements Connection<Send, Receive> {
  private handlers: ConnectionHandlers<Receive> | undefined;
  private endReason: string | undefined;
  private readonly rate = new RateBound(MOST_MESSAGES_A_SECOND, 1_000);

  constructor(private readonly options: SessionOptions<Send, Receive>) {
    const { stream } = options;
    const lost = (): void => this.finish(this.lost());
    stream.on('end', lost);
    stream.on('cancelled', lost);
    stream.on('error', lost);
    stream.pause();
  }

  get peer(): string {
    return this.options.peer;
  }

  get traffic(): ConnectionTraffic {
    return this.options.link.traffic;
  }

  get sending(): LinkRate | undefined {
    return this.options.link.sending;
  }

  start(handlers: ConnectionHandlers<Receive>): void {
    if (this.handlers !== undefined) throw new Error('a connection is started once');
    this.handlers = handlers;
    if (this.endReason !== undefined) {
      queueMicrotask(() => handlers.closed(this.endReason!));
      return;
    }
    this.options.stream.on('data', (packet) => this.receive(packet));
    this.options.stream.resume();
    this.options.link.start(handlers);
  }

  send(message: Send): void {
    if (this.endReason !== undefined) return;
    const { stream, outgoing } = this.options;
    stream.write({ packet: 'message', message: outgoing(message) });
    if (stream.writableLength > MOST_QUEUED_MESSAGES) this.close(`${this.peer} does not read its messages`);
  }

  sendTensor(tensor: OutgoingTensor, signal: AbortSignal): Promise<void> {
    return this.options.link.send(tensor, signal);
  }

  close(reason: string): void {
    if (this.endReason !== undefined) return;
    this.options.stream.write({ packet: 'close', close: { reason } });
    this.finish(reason);
  }

  /** The tensor link failed: a session without it is of no use. */
  fail(error: LongtailError): void {
    this.close(error.code === 'unreachable' ? `${this.lost()}: ${error.message}` : error.message);
  }

  private receive(packet: unknown): void {
    if (this.endReason !== undefined) return;
    if (!this.rate.take(performance.now())) return this.close(`${this.peer} sends more than ${MOST_MESSAGES_A_SECOND} messages a second`);
    let valid: Packet<Receive>;
    try {
      valid = this.options.validate(packet);
    } catch (error) {
      this.fail(LongtailError.from(error));
      return;
    }
    if (valid.packet === 'message') this.handlers!.message(valid.message);
    else this.finish(valid.close.reason);
  }

  private lost(): string {
    return `the connection to ${this.peer} was lost`;
  }

  private finish(reason: string): void {
    if (this.endReason !== undefined) return;
    this.endReason = reason;
    const { link, stream, release, peer } = this.options;
    stream.end();
    // A stream that is not read never ends.
    stream.resume();
    link.end(new LongtailError(`${peer}: ${reason}`, { code: 'unreachable', where: peer }));
    release();
    const { handlers } = this;
    if (handlers !== undefined) queueMicrotask(() => handlers.closed(reason));
  }
}
