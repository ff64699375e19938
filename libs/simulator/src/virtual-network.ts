import {
  LongtailError,
  type Connection,
  type ConnectionHandlers,
  type ConnectionTraffic,
  type LinkRate,
  type OutgoingTensor,
  type PeerLink,
  type PeerNetwork,
  type TensorChunk,
} from '@longtail/core';
import type { ServerMessage, WorkerMessage } from '@longtail/protocol';
import type { VirtualClock } from './virtual-clock.js';

export interface LinkSpec {
  readonly upBitsPerSecond: number;
  readonly downBitsPerSecond: number;
  /** Between this node and the server. */
  readonly rttMs: number;
  /** Nodes of one site reach the server over the same link: its rates are those of the first that dialled. @default a link of its own */
  readonly site?: string;
}

/** Chunks of a tensor that may be out without an acknowledgement. */
const CREDIT_CHUNKS = 8;
/** A chunk's header and the frames around it. */
const HEADER_BYTES = 100;

/** Of sending, until more is known of the link. */
const LONG_ENOUGH_MS = 100;

/** A chunk as it travels: `lateMs` longer than the link takes. */
export interface SentChunk extends TensorChunk {
  readonly lateMs?: number;
}

interface LateMessage<Message> {
  readonly message: Message;
  readonly lateMs: number;
}

/** Changes what is sent; an empty list drops it. */
export type Tamper = (chunk: TensorChunk) => readonly SentChunk[];

/** What becomes of what goes over a link. @default it arrives as it was sent */
export interface Meddling {
  readonly up?: Tamper;
  readonly down?: Tamper;
  /** What arrives instead of a worker's message, and how much later than over the link alone. */
  readonly message?: (message: WorkerMessage) => readonly LateMessage<WorkerMessage>[];
}

export interface NetworkOptions {
  readonly clock: VirtualClock;
  readonly serverUpBitsPerSecond: number;
  readonly serverDownBitsPerSecond: number;
  crc32c(bytes: Uint8Array): number;
}

/**
 * Links between workers and a server: each end serialises its tensors at its own rate, first come, first served; the
 * server's rates are shared by all. Decisions take half a round trip and no bandwidth: they have sockets of their own.
 */
export class VirtualNetwork {
  private readonly serverUp: Port;
  private readonly serverDown: Port;
  private readonly sites = new Map<string, Ports>();
  /** Ends of direct links that wait for the other one, by key. */
  private readonly waiting = new Map<string, PeerEnd & { opened(link: PeerLink): void }>();
  private readonly pairs: { readonly names: readonly string[]; readonly ends: readonly Endpoint<never, never>[] }[] = [];

  constructor(private readonly options: NetworkOptions) {
    this.serverUp = new Port(options.serverUpBitsPerSecond);
    this.serverDown = new Port(options.serverDownBitsPerSecond);
  }

  /** A worker's side of direct links; `address` empty: it only dials. */
  peers(name: string, link: LinkSpec, address: string): PeerNetwork {
    return {
      address,
      accept: (key, signal) => this.meet(key, { name, link }, signal),
      dial: (_address, key, signal) => this.meet(key, { name, link }, signal),
    };
  }

  /** Breaks the direct links of a worker, at both ends. */
  cutPeers(name: string, reason: string): void {
    for (const pair of this.pairs.filter(({ names }) => names.includes(name))) for (const end of pair.ends) end.fail(reason);
  }

  /** Resolves when both ends of a link have shown its key. */
  private meet(key: string, end: PeerEnd, signal: AbortSignal): Promise<PeerLink> {
    return new Promise((resolve, reject) => {
      const first = this.waiting.get(key);
      if (first === undefined) {
        this.waiting.set(key, { ...end, opened: resolve });
        signal.addEventListener('abort', () => reject(signal.reason as Error), { once: true });
        return;
      }
      this.waiting.delete(key);
      const [a, b] = this.pair(first, end);
      const { clock } = this.options;
      clock.at(clock.nowMs() + (first.link.rttMs + end.link.rttMs) / 2, () => {
        first.opened(asPeerLink(a));
        resolve(asPeerLink(b));
      });
    });
  }

  private pair(a: PeerEnd, b: PeerEnd): readonly [Endpoint<never, never>, Endpoint<never, never>] {
    const { clock, crc32c } = this.options;
    const shared = { clock, crc32c, latencyMs: (a.link.rttMs + b.link.rttMs) / 4, stalledUntilMs: 0 };
    const ends = [
      new Endpoint<never, never>(b.name, shared, new Port(a.link.upBitsPerSecond), new Port(b.link.downBitsPerSecond)),
      new Endpoint<never, never>(a.name, shared, new Port(b.link.upBitsPerSecond), new Port(a.link.downBitsPerSecond)),
    ] as const;
    ends[0].attach(ends[1]);
    ends[1].attach(ends[0]);
    this.pairs.push({ names: [a.name, b.name], ends });
    return ends;
  }

  connect(name: string, link: LinkSpec, meddling: Meddling = {}): VirtualLink {
    const { clock, crc32c } = this.options;
    const shared = { clock, crc32c, latencyMs: link.rttMs / 2, stalledUntilMs: 0 };
    const { up, down } = this.portsOf(link);
    const worker = new Endpoint<WorkerMessage, ServerMessage>('server', shared, up, this.serverDown, meddling.up, meddling.message);
    const server = new Endpoint<ServerMessage, WorkerMessage>(name, shared, this.serverUp, down, meddling.down);
    worker.attach(server);
    server.attach(worker);
    return {
      worker,
      server,
      cut(reason) {
        worker.fail(reason);
        server.fail(reason);
      },
      stall(forMs) {
        shared.stalledUntilMs = Math.max(shared.stalledUntilMs, clock.nowMs() + forMs);
      },
    };
  }

  private portsOf({ upBitsPerSecond, downBitsPerSecond, site }: LinkSpec): Ports {
    const known = site === undefined ? undefined : this.sites.get(site);
    const ports = known ?? { up: new Port(upBitsPerSecond), down: new Port(downBitsPerSecond) };
    if (site !== undefined) this.sites.set(site, ports);
    return ports;
  }
}

interface Ports {
  readonly up: Port;
  readonly down: Port;
}

interface PeerEnd {
  readonly name: string;
  readonly link: LinkSpec;
}

function asPeerLink(end: Endpoint<never, never>): PeerLink {
  return {
    peer: end.peer,
    get traffic() {
      return end.traffic;
    },
    start: (handlers) => end.start({ ...handlers, message: () => undefined }),
    sendTensor: (tensor, signal) => end.sendTensor(tensor, signal),
    close: (reason) => end.close(reason),
  };
}

export interface VirtualLink {
  readonly worker: Connection<WorkerMessage, ServerMessage>;
  readonly server: Connection<ServerMessage, WorkerMessage>;
  /** Both ends notice at once. */
  cut(reason: string): void;
  /** Nothing arrives at either end for a while; nothing is lost. */
  stall(forMs: number): void;
}

/** One end's sending or receiving side: bytes pass one after the other. */
class Port {
  private freeAtMs = 0;

  constructor(readonly bitsPerSecond: number) {}

  /** When `bytes` that come at `nowMs` have passed. */
  pass(bytes: number, nowMs: number): number {
    this.freeAtMs = Math.max(nowMs, this.freeAtMs) + (8000 * bytes) / this.bitsPerSecond;
    return this.freeAtMs;
  }
}

interface Shared {
  readonly clock: VirtualClock;
  readonly latencyMs: number;
  stalledUntilMs: number;
  crc32c(bytes: Uint8Array): number;
}

interface Sending {
  pump(): void;
  acknowledged(): void;
  fail(error: unknown): void;
}

class Endpoint<Send, Receive> implements Connection<Send, Receive> {
  private other!: Endpoint<Receive, Send>;
  private handlers: ConnectionHandlers<Receive> | undefined;
  private readonly early: (() => void)[] = [];
  private readonly held: (() => void)[] = [];
  private readonly transfers = new Set<Sending>();
  private rate: LinkRate | undefined;
  /** Bytes that `rate` is from. */
  private observed = 0;
  private reading: Promise<void> = Promise.resolve();
  private open = true;
  private sent = 0;
  private received = 0;

  constructor(
    readonly peer: string,
    private readonly shared: Shared,
    private readonly up: Port,
    private readonly otherDown: Port,
    private readonly tamper: Tamper = (chunk) => [chunk],
    private readonly meddle: (message: Send) => readonly LateMessage<Send>[] = (message) => [{ message, lateMs: 0 }],
  ) {}

  attach(other: Endpoint<Receive, Send>): void {
    this.other = other;
  }

  get traffic(): ConnectionTraffic {
    return { bytesSent: this.sent, bytesReceived: this.received };
  }

  /** What a tensor makes of it when nobody else uses the link. */
  get sending(): LinkRate | undefined {
    const bitsPerSecond = Math.min(this.up.bitsPerSecond, this.otherDown.bitsPerSecond);
    if ((8000 * (this.sent - this.observed)) / bitsPerSecond >= LONG_ENOUGH_MS) {
      this.observed = this.sent;
      this.rate = { bitsPerSecond, roundTripMs: 2 * this.shared.latencyMs };
    }
    return this.rate;
  }

  start(handlers: ConnectionHandlers<Receive>): void {
    if (this.handlers !== undefined) throw new Error('start was called twice');
    this.handlers = handlers;
    for (const deliver of this.early.splice(0)) deliver();
  }

  send(message: Send): void {
    if (!this.open) return;
    for (const { message: sent, lateMs } of this.meddle(message)) this.travel(() => this.other.deliver(() => this.other.handlers!.message(sent)), lateMs);
  }

  sendTensor(tensor: OutgoingTensor, signal: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      if (signal.aborted) return reject(signal.reason as Error);
      if (!this.open) return reject(new LongtailError('the link has ended', { code: 'unreachable', where: this.peer }));
      const chunks = Math.max(1, Math.ceil(tensor.length / tensor.chunkLength));
      let next = 0;
      let taken = 0;
      const end = () => {
        this.transfers.delete(sending);
        signal.removeEventListener('abort', aborted);
      };
      const aborted = () => sending.fail(signal.reason);
      const sending: Sending = {
        pump: () => {
          while (this.transfers.has(sending) && next < chunks && next - taken < CREDIT_CHUNKS)
            this.sendChunk(tensor, next++, chunks, sending);
        },
        acknowledged: () => {
          taken++;
          if (taken < chunks) return sending.pump();
          end();
          resolve();
        },
        fail: (error) => {
          end();
          reject(error as Error);
        },
      };
      this.transfers.add(sending);
      signal.addEventListener('abort', aborted);
      sending.pump();
    });
  }

  close(reason: string): void {
    if (!this.open) return;
    this.travel(() => this.other.closedByPeer(reason));
    this.fail(reason);
  }

  private closedByPeer(reason: string): void {
    this.deliver(() => this.fail(reason));
  }

  /** The link ends here, now. */
  fail(reason: string): void {
    if (!this.open) return;
    this.open = false;
    const error = new LongtailError(`the link has ended: ${reason}`, { code: 'unreachable', where: this.peer });
    for (const sending of [...this.transfers]) sending.fail(error);
    const { handlers } = this;
    if (handlers === undefined) this.early.push(() => this.handlers!.closed(reason));
    else this.shared.clock.at(this.shared.clock.nowMs(), () => handlers.closed(reason));
  }

  private sendChunk(tensor: OutgoingTensor, chunk: number, chunks: number, sending: Sending): void {
    const offset = chunk * tensor.chunkLength;
    const length = Math.min(tensor.chunkLength, tensor.length - offset);
    const payload = tensor.chunk(offset, length);
    const { clock, crc32c } = this.shared;
    const original: TensorChunk = { header: { ...tensor.header, chunk, chunks, offset, length, crc: crc32c(payload) }, payload };
    for (const [copy, altered] of this.tamper(original).entries()) {
      const bytes = HEADER_BYTES + altered.payload.length;
      this.sent += bytes;
      const leftAtMs = this.up.pass(bytes, clock.nowMs());
      clock.at(leftAtMs + this.shared.latencyMs + (altered.lateMs ?? 0), () =>
        clock.at(this.otherDown.pass(bytes, clock.nowMs()), () => this.other.arrive(altered, copy === 0 ? sending : undefined)),
      );
    }
  }

  /** The payload is copied only now: a sender that changed it on the way is found out by the checksum. */
  private arrive({ header, payload: sent }: TensorChunk, sender: Sending | undefined): void {
    const copy = sent.slice();
    this.deliver(() => {
      this.received += HEADER_BYTES + copy.length;
      if (this.shared.crc32c(copy) !== header.crc) {
        this.close(`chunk ${header.chunk} of ${header.kind} ${header.task} fails its checksum`);
        return;
      }
      this.reading = this.reading.then(async () => {
        if (!this.open) return;
        const place = this.handlers!.place?.(header, copy.length) ?? 'borrow';
        const payload = place === 'borrow' ? copy : place;
        if (payload !== copy) payload.set(copy);
        await this.handlers!.tensor({ header, payload });
        if (sender !== undefined) this.travel(() => sender.acknowledged());
      });
    });
  }

  private deliver(handle: () => void): void {
    if (!this.open) return;
    if (this.isStalled || this.held.length > 0) this.hold(handle);
    else if (this.handlers === undefined) this.early.push(() => this.deliver(handle));
    else handle();
  }

  private get isStalled(): boolean {
    return this.shared.clock.nowMs() < this.shared.stalledUntilMs;
  }

  /** Until the stall is over: what comes at that very moment comes behind it. */
  private hold(handle: () => void): void {
    if (this.held.push(handle) === 1) this.shared.clock.at(this.shared.stalledUntilMs, this.release);
  }

  private readonly release = (): void => {
    if (this.isStalled) return void this.shared.clock.at(this.shared.stalledUntilMs, this.release);
    for (const handle of this.held.splice(0)) this.deliver(handle);
  };

  private travel(arrive: () => void, lateMs = 0): void {
    this.shared.clock.at(this.shared.clock.nowMs() + this.shared.latencyMs + lateMs, arrive);
  }
}
