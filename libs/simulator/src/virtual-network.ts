import type { Connection, PeerLink, PeerNetwork, Rng, TensorChunk } from '@longtail/core';
import type { ServerMessage, WorkerMessage } from '@longtail/protocol';
import { ServerEnd } from './server-end.js';
import { Endpoint, type LateMessage, type LinkOptions, type Tamper } from './endpoint.js';
import { Line, Trunk } from './fair-share.js';
import { Flow, mathisBitsPerSecond, type Direction, type FlowWatch } from './flow.js';
import type { Checksum } from './in-transit.js';
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

/** A chunk's header and the frames around it. */
export const HEADER_BYTES = 100;

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

/** Told of what a node sends and receives. */
export interface LinkWatch {
  readonly flows: FlowWatch;
  /** The link to the server has ended. */
  ended(): void;
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
  /** What nodes send over their direct links goes through these, by node and rate. */
  private readonly ports = new Map<string, Trunk>();
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
    const both = this.bothEnds(link.rttMs);
    const flow = (from: PeerEnd, to: PeerEnd) => {
      const bitsPerSecond = own?.bitsPerSecond ?? Math.min(from.link.upBitsPerSecond, to.link.downBitsPerSecond);
      const port = this.portOf(from.name, Math.max(bitsPerSecond, from.link.upBitsPerSecond));
      return this.flow(lineOf(port, bitsPerSecond, link), link, bothOf(from.watch?.flows, to.watch?.flows));
    };
    const ends = [new Endpoint<never, never>(b.name, both, flow(a, b)), new Endpoint<never, never>(a.name, both, flow(b, a))] as const;
    ends[0].attach(ends[1]);
    ends[1].attach(ends[0]);
    this.pairs.push({ names: [a.name, b.name], ends });
    return ends;
  }

  /** Its direct links share its uplink, those of a LAN its port there. */
  private portOf(name: string, bitsPerSecond: number): Trunk {
    const key = `${bitsPerSecond} ${name}`;
    let port = this.ports.get(key);
    if (port === undefined) this.ports.set(key, (port = new Trunk(this.options.clock, bitsPerSecond)));
    return port;
  }

  connect(name: string, link: LinkSpec, meddling: Meddling = {}, watch?: LinkWatch): VirtualLink {
    const { clock } = this.options;
    const both = this.bothEnds(link.rttMs);
    const { up, down } = this.linesOf(link);
    const { serverMs } = this.options;
    const takenAtMs = serverMs && ((bytes: number) => this.takenAtMs(serverMs(bytes)));
    const worker = new Endpoint<WorkerMessage, ServerMessage>('server', both, this.flow(up, link, watch?.flows), { tamper: meddling.up, meddle: meddling.message, ended: watch && (() => watch.ended()), takenAtMs });
    const server = new ServerEnd(name, both, this.flow(down, link, watch?.flows, 'down'), { tamper: meddling.down });
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
        for (const end of [worker, server]) end.stall(clock.nowMs() + forMs);
      },
    };
  }

  /** By the server, what comes now and takes it so long. */
  private takenAtMs(takesMs: number): number {
    this.serverBusyUntilMs = Math.max(this.serverBusyUntilMs, this.options.clock.nowMs()) + takesMs;
    return this.serverBusyUntilMs;
  }

  private bothEnds(rttMs: number): LinkOptions {
    const { clock, crc32c, wireBytes = bytesOf } = this.options;
    return { clock, crc32c, wireBytes, latencyMs: rttMs / 2 };
  }

  private flow(line: Line, { rttMs, lossRate = 0, slowStart = false }: Way, watch: FlowWatch | undefined, way: Direction = 'up'): Flow {
    const { clock, rng } = this.options;
    return new Flow(clock, line, { rttMs, lossRate, slowStart, rng }, watch, way);
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

/** Of a flow that is up for `from`, and down for `to`. */
function bothOf(from: FlowWatch | undefined, to: FlowWatch | undefined): FlowWatch {
  return {
    busy(_way, isBusy) {
      from?.busy('up', isBusy);
      to?.busy('down', isBusy);
    },
    carried(_way, bytes) {
      from?.carried('up', bytes);
      to?.carried('down', bytes);
    },
  };
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
    get sending() {
      return end.sending;
    },
    start: (handlers) => end.start({ ...handlers, message: () => undefined }),
    sendTensor: (tensor, signal) => end.sendTensor(tensor, signal),
    close: (reason) => end.close(reason),
  };
}

export interface VirtualLink {
  readonly worker: Connection<WorkerMessage, ServerMessage>;
  readonly server: ServerEnd;
  /** Both ends notice at once, unless the server takes `noticeMs`. */
  cut(reason: string, noticeMs?: number): void;
  /** Nothing arrives at either end for a while; nothing is lost. */
  stall(forMs: number): void;
}
