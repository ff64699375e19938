import {
  LongtailError,
  type Connection,
  type ConnectionHandlers,
  type ConnectionTraffic,
  type LinkRate,
  type OutgoingTensor,
  type PeerLink,
  type PeerNetwork,
  type Rng,
  type TensorChunk,
} from '@longtail/core';
import type { ServerMessage, WorkerMessage } from '@longtail/protocol';
import { Line, Trunk } from './fair-share.js';
import { Flow, mathisBitsPerSecond, type FlowWatch, type Queued } from './flow.js';
import type { VirtualClock } from './virtual-clock.js';

export interface LinkSpec {
  readonly upBitsPerSecond: number;
  readonly downBitsPerSecond: number;
  /** Between this node and the server. */
  readonly rttMs: number;
  /** Of segments, each way. @default 0 */
  readonly lossRate?: number;
  /** Windows begin small, and again after a pause. @default false: as on links that are emulated above TCP */
  readonly slowStart?: boolean;
  /** Nodes of one site reach the server over the same link: its rates are those of the first that dialled. @default a link of its own */
  readonly site?: string;
}

/** Of a direct link, the same both ways. */
export type PeerLinkSpec = Pick<LinkSpec, 'rttMs' | 'lossRate' | 'slowStart'> & { readonly bitsPerSecond: number };

/** Chunks of a tensor that may be out without an acknowledgement. */
const CREDIT_CHUNKS = 8;
/** A chunk's header and the frames around it. */
export const HEADER_BYTES = 100;

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
  /** For what is lost. */
  readonly rng: Rng;
  /** Direct links that are not those of both ends, one behind the other. */
  readonly peerLink?: ((a: string, b: string) => PeerLinkSpec | undefined) | undefined;
  /** That a chunk takes. @default what it has, and its head */
  readonly wireBytes?: (chunk: TensorChunk) => number;
  /** That the server takes for a chunk of so many bytes; it takes one after the other. @default 0 */
  readonly serverMs?: ((bytes: number) => number) | undefined;
  /** Of payloads; undefined: nothing changes them on the way, and they lie where the sender has them. */
  readonly crc32c: Checksum | undefined;
}

type Checksum = (bytes: Uint8Array) => number;

/** Told of what a node sends and receives. */
export interface LinkWatch {
  readonly up: FlowWatch;
  readonly down: FlowWatch;
  /** The link to the server has ended. */
  readonly ended: () => void;
}

/**
 * Links between workers and a server. A connection sends its tensors one after the other; connections share the line of their site, and
 * the server's, fairly, each way by itself. Decisions take half a round trip and no bandwidth: they have sockets of their own.
 */
export class VirtualNetwork {
  private readonly serverUp: Trunk;
  private readonly serverDown: Trunk;
  private serverBusyUntilMs = 0;
  private readonly sites = new Map<string, Lines>();
  /** Ends of direct links that wait for the other one, by key. */
  private readonly waiting = new Map<string, PeerEnd & { opened(link: PeerLink): void }>();
  private readonly pairs: { readonly names: readonly string[]; readonly ends: readonly Endpoint<never, never>[] }[] = [];

  constructor(private readonly options: NetworkOptions) {
    this.serverUp = new Trunk(options.clock, options.serverUpBitsPerSecond);
    this.serverDown = new Trunk(options.clock, options.serverDownBitsPerSecond);
  }

  /** A worker's side of direct links; `address` empty: it only dials. */
  peers(name: string, link: LinkSpec, address: string, watch?: LinkWatch): PeerNetwork {
    const end = { name, link, watch };
    return { address, accept: (key, signal) => this.meet(key, end, signal), dial: (_address, key, signal) => this.meet(key, end, signal) };
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
    const own = this.options.peerLink?.(a.name, b.name);
    const link = own ?? joined(a.link, b.link);
    const shared = this.shared(link.rttMs);
    const flow = (from: PeerEnd, to: PeerEnd) => {
      const bitsPerSecond = own?.bitsPerSecond ?? Math.min(from.link.upBitsPerSecond, to.link.downBitsPerSecond);
      return this.flow(lineOf(new Trunk(shared.clock, bitsPerSecond), bitsPerSecond, link), link, [from.watch?.up, to.watch?.down]);
    };
    const ends = [new Endpoint<never, never>(b.name, shared, flow(a, b)), new Endpoint<never, never>(a.name, shared, flow(b, a))] as const;
    ends[0].attach(ends[1]);
    ends[1].attach(ends[0]);
    this.pairs.push({ names: [a.name, b.name], ends });
    return ends;
  }

  connect(name: string, link: LinkSpec, meddling: Meddling = {}, watch?: LinkWatch): VirtualLink {
    const { clock } = this.options;
    const shared = this.shared(link.rttMs);
    const { up, down } = this.linesOf(link);
    const worker = new Endpoint<WorkerMessage, ServerMessage>('server', shared, this.flow(up, link, [watch?.up]), meddling.up, meddling.message, watch?.ended, this.options.serverMs && ((bytes) => this.takenAtMs(bytes)));
    const server = new Endpoint<ServerMessage, WorkerMessage>(name, shared, this.flow(down, link, [watch?.down]), meddling.down);
    worker.attach(server);
    server.attach(worker);
    return {
      worker,
      server,
      cut(reason, noticeMs = 0) {
        worker.fail(reason);
        if (noticeMs === 0) server.fail(reason);
        else clock.at(clock.nowMs() + noticeMs, () => server.fail(reason));
      },
      stall(forMs) {
        shared.stalledUntilMs = Math.max(shared.stalledUntilMs, clock.nowMs() + forMs);
      },
    };
  }

  /** By the server, what comes now. */
  private takenAtMs(bytes: number): number {
    const { clock, serverMs } = this.options;
    this.serverBusyUntilMs = Math.max(this.serverBusyUntilMs, clock.nowMs()) + serverMs!(bytes);
    return this.serverBusyUntilMs;
  }

  private shared(rttMs: number): Shared {
    const { clock, crc32c, wireBytes = bytesOf } = this.options;
    return { clock, crc32c, wireBytes, latencyMs: rttMs / 2, stalledUntilMs: 0 };
  }

  private flow(line: Line, { rttMs, lossRate = 0, slowStart = false }: Way, watches: readonly (FlowWatch | undefined)[]): Flow {
    const { clock, rng } = this.options;
    return new Flow(clock, line, { rttMs, lossRate, slowStart, rng }, watches.filter((watch) => watch !== undefined));
  }

  private linesOf(link: LinkSpec): Lines {
    const { upBitsPerSecond, downBitsPerSecond, site } = link;
    const known = site === undefined ? undefined : this.sites.get(site);
    const lines = known ?? { up: lineOf(this.serverDown, upBitsPerSecond, link), down: lineOf(this.serverUp, downBitsPerSecond, link) };
    if (site !== undefined) this.sites.set(site, lines);
    return lines;
  }
}

type Way = Pick<LinkSpec, 'rttMs' | 'lossRate' | 'slowStart'>;

interface Lines {
  readonly up: Line;
  readonly down: Line;
}

/** Two nodes' ways to the server, one behind the other; in a round trip each is gone through once. */
function joined(a: Way, b: Way): Way {
  const lossRate = 1 - (1 - (a.lossRate ?? 0)) * (1 - (b.lossRate ?? 0));
  return { rttMs: (a.rttMs + b.rttMs) / 2, lossRate, slowStart: a.slowStart === true || b.slowStart === true };
}

function lineOf(trunk: Trunk, bitsPerSecond: number, { rttMs, lossRate = 0 }: Way): Line {
  return new Line(trunk, bitsPerSecond, mathisBitsPerSecond(lossRate, rttMs));
}

function bytesOf({ payload }: TensorChunk): number {
  return HEADER_BYTES + payload.length;
}

interface PeerEnd {
  readonly name: string;
  readonly link: LinkSpec;
  readonly watch: LinkWatch | undefined;
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
  /** Both ends notice at once, unless the server takes `noticeMs`. */
  cut(reason: string, noticeMs?: number): void;
  /** Nothing arrives at either end for a while; nothing is lost. */
  stall(forMs: number): void;
}

interface Shared {
  readonly clock: VirtualClock;
  readonly latencyMs: number;
  stalledUntilMs: number;
  wireBytes(chunk: TensorChunk): number;
  readonly crc32c: Checksum | undefined;
}

/** A chunk on its way. */
class Parcel implements Queued {
  constructor(
    readonly chunk: SentChunk,
    readonly bytes: number,
    /** Undefined: nobody waits for it to be acknowledged. */
    readonly transfer: Transfer | undefined,
    private readonly out: (parcel: Parcel, againMs: number) => void,
  ) {}

  left(lateMs: number): void {
    this.out(this, lateMs);
  }
}

/** A tensor on its way. */
class Transfer {
  private next = 0;
  private taken = 0;
  private over = false;
  private readonly chunks: number;

  constructor(
    private readonly tensor: OutgoingTensor,
    private readonly crc32c: Checksum | undefined,
    private readonly send: (chunk: TensorChunk, transfer: Transfer) => void,
    /** Without an error: all of it was acknowledged. */
    private readonly ended: (error?: unknown) => void,
  ) {
    this.chunks = Math.max(1, Math.ceil(tensor.length / tensor.chunkLength));
  }

  pump(): void {
    while (!this.over && this.next < this.chunks && this.next - this.taken < CREDIT_CHUNKS) this.send(this.chunk(this.next++), this);
  }

  acknowledged(): void {
    if (++this.taken < this.chunks) this.pump();
    else this.end();
  }

  /** With an error: it was given up. */
  end(error?: unknown): void {
    if (this.over) return;
    this.over = true;
    this.ended(error);
  }

  private chunk(chunk: number): TensorChunk {
    const { chunkLength, length: values, header } = this.tensor;
    const offset = chunk * chunkLength;
    const length = Math.min(chunkLength, values - offset);
    const payload = this.tensor.chunk(offset, length);
    const { run, kind, stage, fragment, task, round, baseVersion, samples, codec, name, start, step, to } = header;
    const { chunks, crc32c } = this;
    // One by one: to copy what is in an object takes several times as long.
    return { header: { run, kind, stage, fragment, task, round, baseVersion, samples, codec, name, start, step, to, chunk, chunks, offset, length, crc: crc32c?.(payload) ?? 0 }, payload };
  }
}

class Endpoint<Send, Receive> implements Connection<Send, Receive> {
  private other!: Endpoint<Receive, Send>;
  private handlers: ConnectionHandlers<Receive> | undefined;
  private readonly early: (() => void)[] = [];
  private readonly held: (() => void)[] = [];
  private readonly transfers = new Set<Transfer>();
  private rate: LinkRate | undefined;
  /** Bytes that `rate` is from. */
  private observed = 0;
  /** What measures the link included. */
  private carriedBytes = 0;
  /** The first one is being read. */
  private readonly unread: Pick<Parcel, 'chunk' | 'transfer'>[] = [];
  private open = true;
  private sent = 0;
  private received = 0;
  /** Of what was sent: nothing comes before what went before it. */
  private lastArrivalMs = 0;

  constructor(
    readonly peer: string,
    private readonly shared: Shared,
    private readonly flow: Flow,
    private readonly tamper?: Tamper,
    private readonly meddle?: (message: Send) => readonly LateMessage<Send>[],
    private readonly ended: () => void = () => undefined,
    /** When the other end has taken what comes to it now. */
    private readonly takenAtMs?: (bytes: number) => number,
  ) {}

  attach(other: Endpoint<Receive, Send>): void {
    this.other = other;
  }

  get traffic(): ConnectionTraffic {
    return { bytesSent: this.sent, bytesReceived: this.received };
  }

  /** What a tensor makes of it when nobody else uses the link. */
  get sending(): LinkRate | undefined {
    const { bitsPerSecond } = this.flow;
    if ((8000 * (this.carriedBytes - this.observed)) / bitsPerSecond >= LONG_ENOUGH_MS) {
      this.observed = this.carriedBytes;
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
    if (this.meddle === undefined) return this.carry(message);
    for (const { message: sent, lateMs } of this.meddle(message)) this.carry(sent, lateMs);
  }

  private carry(message: Send, lateMs = 0): void {
    const { other } = this;
    this.travel(() => other.deliver(() => other.handlers!.message(message)), lateMs);
  }

  sendTensor(tensor: OutgoingTensor, signal: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      if (signal.aborted) return reject(signal.reason as Error);
      if (!this.open) return reject(new LongtailError('the link has ended', { code: 'unreachable', where: this.peer }));
      const aborted = () => transfer.end(signal.reason);
      const transfer = new Transfer(tensor, this.shared.crc32c, this.sendChunk, (error) => {
        this.transfers.delete(transfer);
        signal.removeEventListener('abort', aborted);
        if (error === undefined) resolve();
        else reject(error as Error);
      });
      this.transfers.add(transfer);
      signal.addEventListener('abort', aborted);
      transfer.pump();
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
    this.flow.end();
    this.ended();
    const error = new LongtailError(`the link has ended: ${reason}`, { code: 'unreachable', where: this.peer });
    for (const transfer of [...this.transfers]) transfer.end(error);
    const { handlers } = this;
    if (handlers === undefined) this.early.push(() => this.handlers!.closed(reason));
    else this.shared.clock.at(this.shared.clock.nowMs(), () => handlers.closed(reason));
  }

  private readonly sendChunk = (chunk: TensorChunk, transfer: Transfer): void => {
    if (this.tamper === undefined) return this.transmit(chunk, transfer);
    for (const [copy, altered] of this.tamper(chunk).entries()) this.transmit(altered, copy === 0 ? transfer : undefined);
  };

  private transmit(chunk: SentChunk, transfer: Transfer | undefined): void {
    const bytes = this.shared.wireBytes(chunk);
    this.carriedBytes += bytes;
    if (chunk.header.kind !== 'probe') this.sent += bytes;
    this.flow.send(new Parcel(chunk, bytes, transfer, this.left));
  }

  private readonly left = (parcel: Parcel, againMs: number): void => {
    const { clock, latencyMs } = this.shared;
    this.lastArrivalMs = Math.max(this.lastArrivalMs, clock.nowMs() + latencyMs + againMs);
    clock.at(this.lastArrivalMs + (parcel.chunk.lateMs ?? 0), () => {
      if (this.takenAtMs === undefined) this.other.arrive(parcel);
      else clock.at(this.takenAtMs(parcel.bytes), () => this.other.arrive(parcel));
    });
  };

  /** What is checked is copied only now: a sender that changed it on the way is found out. */
  private arrive({ chunk: sent, bytes, transfer }: Parcel): void {
    const { crc32c } = this.shared;
    const { header } = sent;
    const chunk = crc32c === undefined ? sent : { header, payload: sent.payload.slice() };
    this.deliver(() => {
      if (header.kind !== 'probe') this.received += bytes;
      if (crc32c !== undefined && crc32c(chunk.payload) !== header.crc) return this.close(`chunk ${header.chunk} of ${header.kind} ${header.task} fails its checksum`);
      if (this.unread.push({ chunk, transfer }) === 1) this.read();
    });
  }

  /** One chunk after the other, as the receiver takes them. */
  private read(): void {
    while (this.open && this.unread.length > 0) {
      const { chunk, transfer } = this.unread[0]!;
      const taken = this.handOver(chunk);
      const next = (): void => {
        if (transfer !== undefined) this.travel(() => transfer.acknowledged());
        this.unread.shift();
      };
      if (taken === undefined) next();
      else {
        void taken.then(() => {
          next();
          this.read();
        });
        return;
      }
    }
  }

  private handOver({ header, payload: sent }: TensorChunk): Promise<void> | undefined {
    const { handlers, shared } = this;
    const place = handlers!.place?.(header, sent.length);
    const stays = place === 'borrow' || (place === undefined && shared.crc32c !== undefined);
    const payload = stays ? sent : (place ?? new Uint8Array(sent.length));
    if (!stays) payload.set(sent);
    return handlers!.tensor({ header, payload }) ?? undefined;
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
