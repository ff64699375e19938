import { LongtailError } from '@longtail/core';
import type { Crc32c } from '@longtail/protocol';
import * as zmq from 'zeromq';
import { formatAddress, type Address } from './address.js';
import type { CurveKeys } from './curve.js';
import { framesOf, type ReceivedFrame } from './link-message.js';
import { Payloads } from './payloads.js';
import { PeerSegment } from './peer-segment.js';
import { readMessages } from './read-messages.js';
import { SocketWriter } from './socket-writer.js';
import { TensorLink } from './tensor-link.js';
import { NO_SEGMENT, type TensorMemory } from './tensor-memory.js';
import { createTensorContext, HEARTBEATS, KEEPALIVE, sessionTag, TENSOR_SOCKET_OPTIONS, type TensorContext } from './tensor-socket.js';
import type { UploadLimit } from './upload-limit.js';

/** How long the last bytes of a link that was closed may take. */
const FAREWELL_MS = 1_000;

export interface TensorDealerOptions {
  readonly address: Address;
  /** Where to dial instead, to get there over an emulated link. */
  readonly via?: Address;
  /** Bytes that one of it takes on the way there. @default 1 */
  readonly standsFor?: number | undefined;
  readonly key: string;
  readonly incarnation: string;
  readonly crc32c: Crc32c;
  readonly memory: TensorMemory | undefined;
  readonly uploadLimit?: UploadLimit;
  /** Of several links. @default one of its own */
  readonly context?: TensorContext;
  /** Encrypts: keys of this end, and the public one that the other end must have. @default no encryption */
  readonly curve?: { readonly own: CurveKeys; readonly theirs: string };
  /** Shows the key again this often until it is answered: the other end may not know of it yet. @default never */
  readonly greetEveryMs?: number;
  /** The link ended: the server is gone or broke the protocol. Called once, not after close(). */
  readonly failed: (error: LongtailError) => void;
}

/**
 * The worker's end of its tensor link: one DEALER socket on one TCP connection. It never reconnects: what a lost connection had
 * in flight is unknown, so the session ends with it and a new one starts clean.
 */
export class TensorDealer {
  readonly link: TensorLink;
  /** The server has answered; rejects with `failed`'s error when it does not. */
  readonly opened: Promise<void>;
  private readonly socket: zmq.Dealer;
  private readonly writer: SocketWriter;
  private readonly payloads: Payloads;
  private settleOpened!: { resolve(): void; reject(error: LongtailError): void };
  private ended = false;
  private greetings: NodeJS.Timeout | undefined;

  constructor(private readonly options: TensorDealerOptions) {
    const { curve, standsFor = 1, context = createTensorContext() } = options;
    this.socket = new zmq.Dealer({
      ...TENSOR_SOCKET_OPTIONS,
      // A window of bytes that stand for many takes longer than heartbeats wait.
      ...(standsFor === 1 ? HEARTBEATS : KEEPALIVE),
      context,
      connectTimeout: 3_000,
      reconnectInterval: -1,
      ...(curve && { curveServerKey: curve.theirs, curvePublicKey: curve.own.publicKey, curveSecretKey: curve.own.secretKey }),
    });
    this.writer = new SocketWriter(this.socket, (_peer, error) => this.fail(`cannot send: ${String(error)}`, error));
    this.payloads = new Payloads(options.crc32c, options.memory);
    this.link = new TensorLink({
      session: sessionTag(options.key),
      payloads: this.payloads,
      crc32c: options.crc32c,
      nowMs: () => performance.now(),
      uploadLimit: options.uploadLimit,
      post: (parts) => this.writer.post('server', [], parts),
      failed: (error) => this.end(error),
    });
    this.opened = new Promise((resolve, reject) => (this.settleOpened = { resolve, reject }));
    this.opened.catch(() => undefined);
    this.connect();
  }

  close(): void {
    if (this.ended) return;
    this.ended = true;
    clearInterval(this.greetings);
    this.writer.close();
    this.socket.close();
    this.settleOpened.reject(new LongtailError('the link was closed', { code: 'unreachable' }));
  }

  /** As `close`, after what was posted is on its way. */
  async closeAfterSending(): Promise<void> {
    await this.writer.drained();
    if (!this.ended) this.socket.linger = FAREWELL_MS;
    this.close();
  }

  private connect(): void {
    void this.watch();
    void readMessages(this.socket, (parts) => this.message(parts));
    this.socket.connect(`tcp://${formatAddress(this.options.via ?? this.options.address)}`);
  }

  private connected(): void {
    const { key, incarnation, memory, greetEveryMs } = this.options;
    const open = { key, incarnation, segment: memory?.segment ?? NO_SEGMENT };
    const greet = (): void => this.link.greet({ frame: 'open', open });
    greet();
    if (greetEveryMs !== undefined) this.greetings = setInterval(greet, greetEveryMs);
  }

  private async watch(): Promise<void> {
    for await (const event of this.socket.events) {
      if (event.type === 'handshake') this.connected();
      // Without reconnection a socket that finds nobody is closed, once.
      if (event.type === 'close') this.fail('nobody listens there');
      if (event.type === 'disconnect' || event.type.startsWith('handshake:error') || event.type === 'connect:retry') {
        this.fail('the connection broke');
      }
    }
  }

  private message(parts: Buffer[]): void {
    try {
      for (const received of framesOf(parts)) {
        if (this.ended) return;
        this.deliver(received);
      }
    } catch (error) {
      this.end(LongtailError.from(error));
    }
  }

  private deliver({ frame, frameBytes, payload }: ReceivedFrame): void {
    if (frame.session !== this.link.session) throw new LongtailError('a frame of another session', { code: 'protocol' });
    if (frame.frame !== 'opened') {
      this.link.receive(frame, frameBytes, payload);
      return;
    }
    clearInterval(this.greetings);
    const segment = this.options.memory && PeerSegment.open(frame.opened.segment);
    this.link.sendFrame({ frame: 'ready', ready: { readsSegment: segment !== undefined } });
    this.link.open(frame.opened.readsSegment, segment);
    this.settleOpened.resolve();
  }

  private fail(reason: string, cause?: unknown): void {
    const where = formatAddress(this.options.address);
    this.end(
      new LongtailError(`the tensor link to ${where} failed: ${reason}`, {
        code: 'unreachable',
        where,
        hint: 'Its port must be open beside the control port.',
        cause,
      }),
    );
  }

  private end(error: LongtailError): void {
    if (this.ended) return;
    this.settleOpened.reject(error);
    this.close();
    this.options.failed(error);
  }
}
