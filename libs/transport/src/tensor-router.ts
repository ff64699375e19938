import { randomBytes } from 'node:crypto';
import { LongtailError } from '@longtail/core';
import type { Crc32c, LinkFrame, LinkOpen } from '@longtail/protocol';
import * as zmq from 'zeromq';
import { bindFailure, formatAddress } from './address.js';
import { Admission, type CurveKeys } from './curve.js';
import { FairShare } from './fair-share.js';
import { framesOf, type ReceivedFrame } from './link-message.js';
import { Payloads } from './payloads.js';
import { portFreed } from './port-freed.js';
import { PeerSegment } from './peer-segment.js';
import { readMessages } from './read-messages.js';
import { SocketWriter } from './socket-writer.js';
import { TensorLink } from './tensor-link.js';
import { IDLE } from './tensor-sender.js';
import { NO_SEGMENT, type TensorMemory } from './tensor-memory.js';
import { createTensorContext, HEARTBEATS, KEEPALIVE, sessionTag, TENSOR_SOCKET_OPTIONS } from './tensor-socket.js';
import type { UploadLimit } from './upload-limit.js';

/** Messages of one peer that ZeroMQ holds for us; beyond it TCP's flow control stops the peer. */
const RECEIVE_HIGH_WATER_MARK = 256;

export interface TensorRouterOptions {
  readonly host: string;
  readonly port: number;
  readonly crc32c: Crc32c;
  readonly memory: TensorMemory | undefined;
  readonly uploadLimit?: UploadLimit;
  /** Encrypts, and lets in only sockets of sessions; one whose key is not known yet waits so long for it. @default no encryption */
  readonly curve?: { readonly own: CurveKeys; readonly patienceMs: number };
  /** Another connection tells when a peer is gone. @default false */
  readonly watchedElsewhere?: boolean;
  /** A message that belongs to no session was dropped. */
  readonly dropped: (reason: string) => void;
  /** What to change when the port is taken. @default the server's port */
  readonly flag?: string;
}

/** A session's claim on the tensor port: its worker proves it with the key. */
export interface TensorSeat {
  readonly key: string;
  readonly link: TensorLink;
  /** Takes the link off the port. */
  leave(): void;
}

interface Seated {
  readonly key: string;
  readonly incarnation: string;
  /** Of the worker's socket; empty: not encrypted. */
  readonly curveKey: string;
  readonly link: TensorLink;
  readonly failed: (error: LongtailError) => void;
  readonly opened: () => void;
  /** ZeroMQ's name of the connection, once the worker has shown the key there. */
  routingId: Buffer | undefined;
  segment: PeerSegment | undefined;
}

/** The server's end of all tensor links: one ROUTER socket. Nothing of a peer is read before it has shown a session's key. */
export class TensorRouter {
  private readonly connected = new Map<string, Seated>();
  private readonly writer: SocketWriter;
  private readonly fairShare = new FairShare();

  private constructor(
    private readonly socket: zmq.Router,
    private readonly options: TensorRouterOptions,
    private readonly payloads: Payloads,
    readonly port: number,
    private readonly seats: Map<string, Seated>,
    private readonly admission: Admission | undefined,
  ) {
    this.writer = new SocketWriter(socket, (peer, error) => this.undeliverable(peer, error));
    void readMessages(this.socket, (parts) => this.message(parts));
  }

  /** Throws LongtailError `address-in-use` when the port is taken. */
  static async bind(options: TensorRouterOptions): Promise<TensorRouter> {
    const context = createTensorContext();
    const seats = new Map<string, Seated>();
    const { curve } = options;
    const admits = (key: string): boolean => [...seats.values()].some(({ curveKey }) => curveKey === key);
    const admission = curve && (await Admission.open({ context, admits, patienceMs: curve.patienceMs }));
    const socket = new zmq.Router({
      ...TENSOR_SOCKET_OPTIONS,
      ...(options.watchedElsewhere ? KEEPALIVE : HEARTBEATS),
      context,
      ...(curve && { curveServer: true, curveSecretKey: curve.own.secretKey }),
      mandatory: true,
      handover: false,
      sendTimeout: 0,
      receiveHighWaterMark: RECEIVE_HIGH_WATER_MARK,
    });
    try {
      await socket.bind(`tcp://${formatAddress(options)}`);
    } catch (error) {
      socket.close();
      admission?.close();
      throw bindFailure(options, options.flag ?? '--port: tensors take the one after it', error);
    }
    const port = Number(/:(\d+)$/.exec(socket.lastEndpoint!)![1]);
    return new TensorRouter(socket, options, new Payloads(options.crc32c, options.memory), port, seats, admission);
  }

  /** `opened` is called when the worker's link is up, `failed` when it broke the protocol or went away. */
  seat(
    incarnation: string,
    opened: () => void,
    failed: (error: LongtailError) => void,
    curveKey = '',
    key: string = randomBytes(16).toString('hex'),
  ): TensorSeat {
    if (this.seats.has(key)) throw new Error('a key is good for one link');
    const link = new TensorLink({
      session: sessionTag(key),
      payloads: this.payloads,
      crc32c: this.options.crc32c,
      nowMs: () => performance.now(),
      uploadLimit: this.options.uploadLimit,
      fairShare: this.fairShare,
      post: (parts) => {
        if (seated.routingId !== undefined) this.writer.post(nameOf(seated.routingId), [seated.routingId], parts);
      },
      failed,
    });
    const seated: Seated = { key, incarnation, curveKey, link, failed, opened, routingId: undefined, segment: undefined };
    this.seats.set(key, seated);
    this.admission?.changed();
    const leave = (): void => {
      this.seats.delete(key);
      // Its link closes it, but for one that never opened.
      seated.segment?.close();
      if (seated.routingId !== undefined) this.connected.delete(nameOf(seated.routingId));
    };
    return { key, link, leave };
  }

  /**
   * Finds links whose peer is gone, by sending: ZeroMQ does not say whose connection it was that broke. Of use where no other
   * connection tells.
   */
  async watchPeers(): Promise<void> {
    for await (const event of this.socket.events) {
      if (event.type !== 'disconnect') continue;
      for (const { link } of this.connected.values()) link.sendFrame(IDLE);
    }
  }

  /** Resolves when ZeroMQ has all that was sent. */
  drained(): Promise<void> {
    return this.writer.drained();
  }

  /**
   * Resolves when the port is free. ZeroMQ lets go of it in its own time after close; asking it to unbind first and waiting for its
   * event aborts the process in libzmq 4.3.5 now and then (assertions in pipe.cpp and socket_base.cpp, 5 of 6 runs of 400 closes).
   */
  async close(): Promise<void> {
    this.writer.close();
    this.socket.close();
    this.admission?.close();
    await portFreed({ host: this.options.host, port: this.port });
  }

  private message([routingId, ...parts]: Buffer[]): void {
    const name = nameOf(routingId!);
    try {
      for (const received of framesOf(parts)) {
        const seated = this.connected.get(name);
        if (seated === undefined) this.admit(routingId!, received.frame);
        else this.deliver(seated, received);
      }
    } catch (error) {
      const failure = LongtailError.from(error);
      const seated = this.connected.get(name);
      if (seated === undefined) this.options.dropped(failure.message);
      else seated.failed(failure);
    }
  }

  private admit(routingId: Buffer, frame: LinkFrame): void {
    if (frame.frame !== 'open') throw new LongtailError(`"${frame.frame}" from a peer without a session`, { code: 'protocol' });
    const seated = this.seats.get(frame.open.key);
    if (seated === undefined || seated.incarnation !== frame.open.incarnation) {
      throw new LongtailError('a tensor link with the key of no session', { code: 'protocol' });
    }
    if (seated.routingId !== undefined) throw new LongtailError('a second tensor link of one session', { code: 'protocol' });
    seated.routingId = routingId;
    this.connected.set(nameOf(routingId), seated);
    this.answer(seated, frame.open);
  }

  private answer(seated: Seated, { segment }: LinkOpen): void {
    const { memory } = this.options;
    seated.segment = memory && PeerSegment.open(segment);
    seated.link.greet({
      frame: 'opened',
      opened: { readsSegment: seated.segment !== undefined, segment: memory?.segment ?? NO_SEGMENT },
    });
  }

  private deliver(seated: Seated, { frame, frameBytes, payload }: ReceivedFrame): void {
    if (frame.frame === 'open' && frame.open.key === seated.key) return; // shown twice, as the answer took its time
    if (frame.session !== seated.link.session) {
      this.options.dropped('a frame of another session');
    } else if (frame.frame === 'ready') {
      seated.link.open(frame.ready.readsSegment, seated.segment);
      seated.opened();
    } else {
      seated.link.receive(frame, frameBytes, payload);
    }
  }

  private undeliverable(peer: string, error: unknown): void {
    const reason = `the tensor link is gone: ${error instanceof Error ? error.message : String(error)}`;
    this.connected.get(peer)?.failed(new LongtailError(reason, { code: 'unreachable', cause: error }));
  }
}

function nameOf(routingId: Buffer): string {
  return routingId.toString('latin1');
}
