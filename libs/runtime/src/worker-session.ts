import { formatSeconds, LongtailError, type Clock, type ConnectionHandlers, type LinkRate, type TensorChunk, type Timer } from '@longtail/core';
import type { ServerMessage, Welcome, WorkerMessage } from '@longtail/protocol';
import { Keepalive, StandstillWatch, type LinkActivity } from './liveness.js';
import type { WorkerConnection } from './ports.js';
import { measureSending, privateMemory } from './measure-sending.js';
import { FINISH_MS, type Owner } from './pauses.js';
import { PeerProbes } from './peer-probes.js';
import { WorkerProfile } from './worker-profile.js';
import { WorkerRun } from './worker-run.js';
import type { WorkerRunContext } from './worker-run-context.js';

export interface WorkerSessionContext extends Omit<WorkerRunContext, 'connection' | 'session'> {
  /** Who takes over when the server dies; empty: nobody. */
  standby(address: string): void;
  readonly owner: Owner;
  /** What the server was told of it in the hello. */
  readonly saidPaused: string;
}

/** The server settles what a node holds that is to rest; when nothing comes of that, its owner does not wait any longer. */
const PATIENCE_MS = FINISH_MS + 1000;

const STOPPED = 'its owner stopped it';
/** Given so that no DOMException with a stack is made for every session. */
const ENDED = new Error('the session has ended');

/** A worker's session with a server, from welcome to the end of the link. What comes over it comes to the session itself. */
export class WorkerSession implements ConnectionHandlers<ServerMessage> {
  // What each message asks for, of thousands of sessions, lies side by side; times are numbers from the start on (ADR 46).
  private readonly clock: Clock;
  private readonly log: WorkerSessionContext['log'];
  private current: WorkerRun | undefined;
  private lastHeardMs = 0;
  private lastSentMs = 0;
  /** When the server was last told of links; of which ways, what: of the one there, and of those to neighbours, by node. */
  private toldAtMs = 0;
  private heartbeatMs: number;
  private toldRate: LinkRate | undefined;
  private readonly toldPeers = new Map<string, LinkRate>();
  /** Why the server does not want it back. */
  dismissed: string | undefined;
  /** It ended because this machine slept, or this process was stopped. */
  stoodStill = false;
  private saidPaused: string;
  /** What goes before a place in a run. */
  private profile: WorkerProfile | undefined;
  /** Of the run that it has a place in, or will have. */
  private probes: PeerProbes | undefined;
  /** Resolves when no run holds the device. */
  private deviceFree: Promise<void> = Promise.resolve();
  /** Of the way to the server, where that is measured. */
  private probing: AbortController | undefined;
  /** Of its owner, once it is to rest. */
  private patience: Timer | undefined;
  private resolveClosed!: (reason: string) => void;
  private readonly over = new Promise<string>((resolve) => (this.resolveClosed = resolve));

  constructor(
    private readonly connection: WorkerConnection,
    welcome: Welcome,
    private readonly context: WorkerSessionContext,
  ) {
    this.clock = context.clock;
    this.log = context.log;
    this.heartbeatMs = welcome.heartbeatMs;
    this.lastHeardMs = this.lastSentMs = this.clock.nowMs();
    this.saidPaused = context.saidPaused;
    this.toldAtMs = this.lastHeardMs;
  }

  get activity(): LinkActivity {
    return { lastHeardMs: this.lastHeardMs, lastSentMs: this.lastSentMs };
  }

  heartbeat(): void {
    this.send({ message: 'heartbeat', heartbeat: {} });
  }

  /**
   * Resolves with why the link ended, once the device is free. An abort of `signal` says good-bye to the server first, one of
   * `finish` lets it settle what the node holds before that.
   */
  async serve(signal: AbortSignal, finish?: AbortSignal): Promise<string> {
    const { clock, context: { owner } } = this;
    const leave = () => this.leave(reasonOf(signal));
    const leaveSoon = () => this.send({ message: 'pause', pause: { reason: reasonOf(finish!), leaves: true } });
    signal.addEventListener('abort', leave);
    finish?.addEventListener('abort', leaveSoon);
    const unwatch = owner.watch(() => this.heed(owner.paused));
    this.connection.start(this);
    if (signal.aborted) leave();
    else if (finish?.aborted) leaveSoon();
    this.heed(owner.paused);
    const standstill = new StandstillWatch(this.heartbeatMs, clock, (ms) => {
      this.stoodStill = true;
      this.close(`this machine stood still for ${formatSeconds(ms / 1000)}`);
    });
    const link = new Keepalive(this, () => this.heartbeatMs, clock, (reason) => this.close(`the server was ${reason}`));
    standstill.begin();
    link.begin();
    const reason = await this.over;
    signal.removeEventListener('abort', leave);
    finish?.removeEventListener('abort', leaveSoon);
    unwatch();
    standstill.end();
    link.end();
    this.patience?.clear();
    this.probing?.abort(ENDED);
    this.drop(reason);
    await this.deviceFree;
    return reason;
  }

  /** What the server should never send ends the session: it may speak another dialect. */
  message(message: ServerMessage): void {
    try {
      this.receive(message);
    } catch (error) {
      this.breakOff(error);
    }
  }

  /** A chunk is put away before the next one is asked for. */
  place(): 'borrow' {
    return 'borrow';
  }

  tensor(chunk: TensorChunk): Promise<void> | void {
    this.heard();
    if (chunk.header.kind === 'probe') return;
    try {
      return (this.current ?? this.profile)?.onTensor(chunk)?.catch((error: unknown) => this.breakOff(error));
    } catch (error) {
      this.breakOff(error);
    }
  }

  closed(reason: string): void {
    this.resolveClosed(reason);
  }

  private receive(message: ServerMessage): void {
    this.heard();
    switch (message.message) {
      case 'prepare':
        this.drop('another run takes its place', message.prepare.run);
        this.current = new WorkerRun(message.prepare, this.runContext, this.deviceFree);
        this.deviceFree = this.current.stopped;
        return;
      case 'profile':
        this.drop('another run takes its place', message.profile.run);
        this.profile = new WorkerProfile(message.profile, this.runContext, this.deviceFree);
        this.deviceFree = this.profile.stopped;
        return;
      case 'probePeer':
        if ((this.current ?? this.profile)?.run !== message.probePeer.run) return;
        this.probes ??= new PeerProbes(message.probePeer.run, this.runContext);
        void this.probes.measure(message.probePeer);
        return;
      case 'probeLink':
        void this.probeLink(message.probeLink.mostBytes);
        return;
      case 'task':
        return this.of(message.task.run)?.onTask(message.task);
      case 'cancelTask':
        return this.of(message.cancelTask.run)?.onCancel(message.cancelTask);
      case 'receipt': {
        const { receipt } = message;
        this.log?.({ event: 'receipt', ...receipt });
        return this.of(receipt.run)?.onReceipt(receipt);
      }
      case 'release': {
        const { run, reason } = message.release;
        if (this.of(run) === undefined && this.profile?.run !== run) return;
        this.log?.({ event: 'released', run, reason });
        return this.drop(reason);
      }
      case 'dismiss':
        this.dismissed = message.dismiss.reason;
        return this.close(message.dismiss.reason);
      case 'standby':
        this.heartbeatMs = message.standby.heartbeatMs;
        this.context.standby(message.standby.address);
        return this.send({ message: 'standbyKnown', standbyKnown: { number: message.standby.number } });
      // Of standbys.
      case 'followRun':
      case 'followEvents':
      case 'followVersion':
      case 'fleet':
      case 'welcome':
      case 'refused':
      case 'heartbeat':
        return;
    }
  }

  private get runContext(): WorkerRunContext {
    const { compute, fileCache, codecs, createFeedback, crc32c, allocate, clock, chunkLength, peers, log } = this.context;
    // Named one by one: an object that another one is spread into has a hidden class of its own.
    return { connection: this.connection, compute, fileCache, codecs, createFeedback, crc32c, allocate, clock, chunkLength, peers, session: this, log };
  }

  /** Measures the way to the server. A link on which that fails is taken for unknown. */
  private async probeLink(mostBytes: number): Promise<void> {
    const { clock, allocate = privateMemory } = this.context;
    const { signal } = (this.probing ??= new AbortController());
    const options = { clock, allocate, mostBytes, signal };
    const rate = await measureSending(this.connection, options).catch(() => ({ bitsPerSecond: 0, roundTripMs: 0 }));
    const linkProbed = { upBitsPerSecond: rate.bitsPerSecond, roundTripMs: rate.roundTripMs };
    this.send({ message: 'linkProbed', linkProbed });
    if (linkProbed.upBitsPerSecond > 0) this.log?.({ event: 'link', ...linkProbed });
  }

  private of(run: string): WorkerRun | undefined {
    return this.current?.run === run ? this.current : undefined;
  }

  /** `next`: the run that goes on, whose links are measured on. */
  private drop(reason: string, next?: string): void {
    this.current?.end(reason);
    this.profile?.end(reason);
    this.current = undefined;
    this.profile = undefined;
    if (this.probes?.run === next) return;
    this.probes?.end(reason);
    this.probes = undefined;
  }

  /** Tells the server what the owner wants of the node; what it holds then ends soon, one way or the other. */
  private heed(paused: string): void {
    if (paused === this.saidPaused) return;
    const rests = this.saidPaused !== '';
    this.saidPaused = paused;
    if (paused === '') {
      this.patience?.clear();
      return this.send({ message: 'unpause', unpause: {} });
    }
    this.send({ message: 'pause', pause: { reason: paused, leaves: false } });
    if (!rests) (this.patience ??= this.clock.timer(() => this.drop(this.saidPaused))).set(PATIENCE_MS);
  }

  private leave(reason: string): void {
    this.drop(reason);
    this.send({ message: 'leave', leave: { reason } });
    this.close(reason);
  }

  private breakOff(error: unknown): void {
    this.close(LongtailError.from(error).message);
  }

  private close(reason: string): void {
    this.connection.close(reason);
    this.resolveClosed(reason);
  }

  send(message: WorkerMessage): void {
    this.lastSentMs = this.clock.nowMs();
    this.connection.send(message);
    this.tellLinks();
  }

  /** With other messages, and at most as often as heartbeats: what tensors made of the ways to the server and to neighbours, where that is news. */
  private tellLinks(): void {
    const { connection, lastSentMs, current } = this;
    if (lastSentMs < this.toldAtMs + this.heartbeatMs) return;
    const { sending } = connection;
    if (sending !== undefined && sending !== this.toldRate) {
      this.toldAtMs = lastSentMs;
      this.toldRate = sending;
      connection.send({ message: 'linkMeasured', linkMeasured: { upBitsPerSecond: sending.bitsPerSecond, roundTripMs: sending.roundTripMs } });
    }
    for (const { node, rate } of current?.peerRates ?? []) {
      if (this.toldPeers.get(node) === rate) continue;
      this.toldAtMs = lastSentMs;
      this.toldPeers.set(node, rate);
      connection.send({ message: 'peerMeasured', peerMeasured: { run: current!.run, node, bitsPerSecond: rate.bitsPerSecond } });
    }
  }

  private heard(): void {
    this.lastHeardMs = this.clock.nowMs();
  }
}

/** Of whoever stopped it. */
function reasonOf({ reason }: AbortSignal): string {
  return reason instanceof LongtailError ? reason.message : STOPPED;
}
