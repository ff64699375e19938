import { LongtailError, modelKey } from '@longtail/core';
import type { BlockTiming, Clock, ConnectionHandlers, ConnectionTraffic, Job, MeasuredLink, Rng, TensorChunk, TensorHeader } from '@longtail/core';
import { PROTOCOL_VERSION, type Hello, type LinkMeasured, type LinkProbed, type NodeRow, type Pause, type ServerMessage, type WorkerMessage } from '@longtail/protocol';
import { Keepalive, type LinkActivity } from './liveness.js';
import type { ServerConnection } from './ports.js';

/** A node's part in a run, as its session sees it. */
export interface Part {
  readonly run: string;
  readonly state: string;
  readonly samplesPerSecond: number;
  message(message: WorkerMessage): void;
  place(header: TensorHeader, bytes: number): Uint8Array;
  /** Resolves when the next chunk may come. */
  tensor(chunk: TensorChunk): Promise<void> | void;
  /** What is known of its link to the server is not what it was. */
  linkChanged(): void;
  left(reason: string): void;
}

/** What a node's device takes for the blocks of a job, and between two passes of a stage. */
interface SessionProfile {
  readonly job: Job;
  readonly timings: readonly BlockTiming[];
  readonly handOverMs: number;
}

interface SessionLink extends MeasuredLink {
  readonly measuredAtMs: number;
}

/** A node that is here: its connection, and what it is doing. */
export class Session {
  // What each message asks for lies side by side, behind the connection and the clock; times are numbers from the start on (ADR 46).
  private lastHeardMs = 0;
  private lastSentMs = 0;
  part: Part | undefined;
  /** Of all runs. */
  samplesApplied = 0;
  /** Why its owner lets it rest; empty: it is to work. */
  pausedByOwner: string;
  /** It leaves once it has nothing in hand; why. */
  leaving = '';
  private measured: SessionLink | undefined;
  /** Its link is being measured, or will be. */
  linkPending = false;
  /** Of the job that was last laid out by such figures. */
  profile: SessionProfile | undefined;
  private open = true;

  constructor(
    readonly node: string,
    readonly hello: Hello,
    readonly connection: ServerConnection,
    readonly joinedAtMs: number,
    private readonly clock: Clock,
    /** Why somebody other than its owner lets it rest, for as long as this server is there. */
    private readonly holds: ReadonlyMap<string, string>,
  ) {
    this.pausedByOwner = hello.paused;
    this.lastHeardMs = joinedAtMs;
    this.lastSentMs = joinedAtMs;
  }

  get name(): string {
    return this.hello.name;
  }

  /** To and from this server; undefined: not measured yet, or in vain. */
  get link(): SessionLink | undefined {
    return this.measured;
  }
  set link(link: SessionLink | undefined) {
    this.measured = link;
    this.part?.linkChanged();
  }

  /** Why it gets no work; empty: it does. */
  get paused(): string {
    return this.leaving || this.pausedByOwner || (this.holds.get(this.node) ?? '');
  }

  get activity(): LinkActivity {
    return { lastHeardMs: this.lastHeardMs, lastSentMs: this.lastSentMs };
  }

  get isOpen(): boolean {
    return this.open;
  }

  get traffic(): ConnectionTraffic {
    return this.connection.traffic;
  }

  heard(): void {
    this.lastHeardMs = this.clock.nowMs();
  }

  send(message: ServerMessage): void {
    this.lastSentMs = this.clock.nowMs();
    this.connection.send(message);
  }

  heartbeat(): void {
    this.send({ message: 'heartbeat', heartbeat: {} });
  }

  /** True once: the first caller ends the session. */
  end(): boolean {
    const first = this.open;
    this.open = false;
    return first;
  }

  row(nowMs: number): NodeRow {
    return {
      node: this.node,
      name: this.name,
      device: this.hello.device,
      state: this.part?.state ?? (this.paused === '' ? 'idle' : 'paused'),
      run: this.part?.run ?? '',
      samplesPerSecond: this.part?.samplesPerSecond ?? 0,
      joinedAtMs: this.joinedAtMs,
      lastSeenMsAgo: nowMs - this.lastHeardMs,
      samplesApplied: this.samplesApplied,
      peerAddress: this.hello.peerAddress,
      link: this.link ?? NO_LINK,
      profiledJob: this.profile?.job.name ?? '',
      profiledModel: this.profile === undefined ? '' : modelKey(this.profile.job),
      blocks: this.profile?.timings ?? [],
      handOverMs: this.profile?.handOverMs ?? 0,
      maxUploadBitsPerSecond: this.hello.maxUploadBitsPerSecond,
      paused: this.paused,
    };
  }
}

const NO_LINK: MeasuredLink = { upBitsPerSecond: 0, downBitsPerSecond: 0, roundTripMs: 0 };

export interface MembershipOptions {
  readonly clock: Clock;
  readonly rng: Rng;
  /** Now. */
  heartbeatMs(): number;
  /** Of the server. */
  readonly self: ServerSelf;
  joined(session: Session): void;
  left(session: Session, reason: string): void;
  /** It is to rest, to leave, or to work again. */
  pauseChanged(session: Session): void;
  /** A tensor chunk or message for a run from a node that has no part in one. */
  stray(session: Session, run: string, task: number): void;
  /** It knows who is the standby since the change of that number. */
  standbyKnown(session: Session, number: number): void;
  /** It measured its way to the server. */
  probed(session: Session, probed: LinkProbed): void;
  /** It told what its tensors make of the way to the server. */
  linkMeasured(session: Session, measured: LinkMeasured): void;
}

/** How servers that follow each other are told apart. */
export interface ServerSelf {
  readonly epoch: number;
  readonly incarnation: string;
}

/** The transport fills in the way for tensors. */
export function welcome(node: string, heartbeatMs: number, self: ServerSelf): ServerMessage {
  return { message: 'welcome', welcome: { node, heartbeatMs, protocol: PROTOCOL_VERSION, tensorPort: 0, tensorKey: '', tensorCurveKey: '', ...self } };
}

/** What comes of a session. One object for each, as thousands of them lie far apart. */
class Reception implements ConnectionHandlers<WorkerMessage> {
  constructor(
    private readonly session: Session,
    private readonly membership: Membership,
    private readonly watch: Keepalive,
  ) {}

  message(message: WorkerMessage): void {
    this.membership.receive(this.session, message);
  }

  place(header: TensorHeader, bytes: number, isLent?: boolean): Uint8Array | 'borrow' {
    return isLent === true || header.kind === 'probe' ? 'borrow' : (this.session.part?.place(header, bytes) ?? new Uint8Array(bytes));
  }

  tensor(chunk: TensorChunk): Promise<void> | void {
    const { session } = this;
    session.heard();
    if (chunk.header.kind === 'probe') return;
    if (session.part !== undefined) return session.part.tensor(chunk);
    this.membership.stray(session, chunk.header);
  }

  closed(reason: string): void {
    this.watch.end();
    this.membership.remove(this.session, reason);
  }
}

/** Who is here. Sessions are kept in the order in which they joined, which is the order in which contributions are added. */
export class Membership {
  private readonly byNode = new Map<string, Session>();
  /** By node, why a client lets it rest. */
  private readonly holds = new Map<string, string>();
  /** Those that are to leave once they have nothing in hand. */
  readonly departing = new Set<Session>();
  private readonly byIncarnation = new Map<string, Session>();
  private joins = 0;

  constructor(private readonly options: MembershipOptions) {}

  get sessions(): readonly Session[] {
    return [...this.byNode.values()];
  }

  get size(): number {
    return this.byNode.size;
  }

  session(node: string): Session | undefined {
    return this.byNode.get(node);
  }

  /** By its id, or by a name that it alone has. LongtailError `usage` where there is no such node. */
  find(node: string): Session {
    const named = this.sessions.filter(({ name }) => name === node);
    const found = this.session(node) ?? (named.length === 1 ? named[0] : undefined);
    if (found !== undefined) return found;
    throw new LongtailError(named.length === 0 ? `no node ${node}` : `${named.length} nodes are named ${node}`, {
      code: 'usage',
      hint: named.length === 0 ? 'List the nodes with `longtail nodes`.' : `Say which by its id: ${named.map((one) => one.node).join(', ')}.`,
    });
  }

  admit(connection: ServerConnection, hello: Hello): void {
    for (const old of new Set([this.byIncarnation.get(hello.incarnation), this.byNode.get(hello.node)])) {
      if (old !== undefined) this.drop(old, 'the same worker connected again');
    }
    const { clock, heartbeatMs, self } = this.options;
    const node = hello.node || this.newId();
    const session = new Session(node, hello, connection, clock.nowMs(), clock, this.holds);
    this.byNode.set(node, session);
    this.byIncarnation.set(hello.incarnation, session);
    const watch = new Keepalive(session, heartbeatMs, clock, (reason) => this.drop(session, reason));
    connection.start(new Reception(session, this, watch));
    session.send(welcome(node, heartbeatMs(), self));
    watch.begin();
    this.options.joined(session);
  }

  /** Nodes that come back keep theirs, also those of an earlier server: it must not be one of them. */
  private newId(): string {
    return `n${++this.joins}-${this.options.rng.uint32().toString(16).padStart(8, '0')}`;
  }

  /** Ends a session from this side. */
  drop(session: Session, reason: string): void {
    session.connection.close(reason);
    this.remove(session, reason);
  }

  /** A client lets a node rest, with a reason, or work again. */
  hold(session: Session, reason: string): void {
    this.change(session, () => (reason === '' ? this.holds.delete(session.node) : this.holds.set(session.node, reason)));
  }

  /** It is to leave once it has nothing in hand. */
  drain(session: Session, reason: string): void {
    this.departing.add(session);
    this.change(session, () => (session.leaving ||= reason));
  }

  /** It has nothing in hand any more, and is not to come back. */
  dismiss(session: Session): void {
    const { leaving: reason } = session;
    session.send({ message: 'dismiss', dismiss: { reason } });
    this.drop(session, reason);
  }

  private change(session: Session, how: () => void): void {
    const before = [session.paused === '', session.leaving === ''];
    how();
    if (before[0] !== (session.paused === '') || before[1] !== (session.leaving === '')) this.options.pauseChanged(session);
  }

  receive(session: Session, message: WorkerMessage): void {
    session.heard();
    if (message.message === 'leave') this.drop(session, message.leave.reason);
    else if (message.message === 'pause') this.onPause(session, message.pause);
    else if (message.message === 'unpause') this.change(session, () => (session.pausedByOwner = ''));
    else if (message.message === 'standbyKnown') this.options.standbyKnown(session, message.standbyKnown.number);
    else if (message.message === 'linkProbed') this.options.probed(session, message.linkProbed);
    else if (message.message === 'linkMeasured') this.options.linkMeasured(session, message.linkMeasured);
    else if (message.message === 'taskDone' && session.part === undefined) {
      this.options.stray(session, message.taskDone.run, message.taskDone.task);
    } else if (message.message !== 'heartbeat') session.part?.message(message);
  }

  /** Of a run from a node that has no part in one. */
  stray(session: Session, { run, task }: TensorHeader): void {
    this.options.stray(session, run, task);
  }

  private onPause(session: Session, { reason, leaves }: Pause): void {
    if (leaves) this.drain(session, reason);
    else this.change(session, () => (session.pausedByOwner = reason || 'its owner wants it so'));
  }

  remove(session: Session, reason: string): void {
    if (!session.end()) return;
    this.departing.delete(session);
    this.byNode.delete(session.node);
    this.byIncarnation.delete(session.hello.incarnation);
    session.part?.left(reason);
    this.options.left(session, reason);
  }
}
