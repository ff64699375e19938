import { LongtailError, type Clock } from '@longtail/core';
import type { Hello, WorkerMessage } from '@longtail/protocol';
import { AccessFollowing, type AccessFollowingOptions } from './access-following.js';
import { Bell } from './bell.js';
import { isFenced, type Fleet } from './fence.js';
import type { StandbyWay } from './following.js';
import { Keepalive } from './liveness.js';
import { Session, welcome, type ServerSelf } from './membership.js';
import type { ServerConnection } from './ports.js';
import { fileTensor } from './recipient.js';
import type { Run } from './run.js';

/** Of a standby, which has to notice soon. */
const HEARTBEAT_MS = 500;
/** A standby that was not heard for so long may be about to take over, or this process stood still and it has. */
const DOUBT_MS = 2 * HEARTBEAT_MS;
/** How long commits may wait without somebody being told. */
const WARNING_MS = 5000;

export interface StandbySeatOptions extends Pick<AccessFollowingOptions, 'access'> {
  readonly clock: Clock;
  /** The server. */
  readonly self: ServerSelf;
  runs(): readonly Run[];
  /** There is a standby, or none any more. */
  changed(): void;
  /** It is gone, and may have taken over: commits wait until it is back, or `isFenced`. */
  commitsWait(address: string): void;
  /** It does not know yet who was let in, or is not any more. */
  accessBehind(address: string): void;
}

interface Seated extends StandbyWay {
  readonly session: Session;
  readonly ended: AbortController;
  /** Runs whose logs it has not told its place in yet, and who waits for that. */
  readonly asked: Map<string, { readonly answer: Promise<void>; known(): void }>;
}

/** The place of the server's standby: there is one, or none. */
export class StandbySeat {
  /** How often a standby has come or gone. */
  changes = 0;
  private seated: Seated | undefined;
  private readonly access: AccessFollowing;
  /**
   * What the last standby knows of, the latest last: whatever it was told just now it may not have read, and takes over by what
   * it was told before.
   */
  private fleets: readonly { readonly fleet: Fleet; readonly toldAtMs: number }[] = [];
  /** Who of it has heard since that there is none. */
  private readonly unaware = new Set<string>();
  private lastAddress = '';
  private readonly waiting = new Set<Bell>();
  /** After a silence, what was on its way before says nothing of now: it counts as heard again by what comes later than this. */
  private doubtedUntilMs = 0;
  /** Undefined: somebody was told. */
  private warnAtMs: number | undefined;

  constructor(private readonly options: StandbySeatOptions) {
    const { clock, access } = options;
    this.access = new AccessFollowing({ clock, access, behind: () => options.accessBehind(this.address) });
  }

  /** Where it listens; empty: there is none. */
  get address(): string {
    return this.seated?.address ?? '';
  }

  /** It is there, and knows whoever is let in. */
  get knowsAccess(): boolean {
    return this.seated !== undefined && this.access.inStep;
  }

  /** Whether it holds all that is committed. */
  get state(): string {
    if (this.seated === undefined) return '';
    const inStep = this.access.inStep && this.options.runs().every((run) => run.over || run.following.state === 'in step');
    return inStep ? 'in step' : 'behind';
  }

  admit(connection: ServerConnection, hello: Hello): void {
    const { clock, self } = this.options;
    const { seated } = this;
    if (seated !== undefined && seated.address !== hello.standbyAddress) {
      const error = new LongtailError(`${seated.address} is its standby already`, { code: 'refused', hint: 'Stop that one first.' });
      connection.send({ message: 'refused', refused: error.toWire() });
      return connection.close(error.message);
    }
    if (seated !== undefined) this.end(seated, 'it connected again');
    const session = new Session('', hello, connection, clock.nowMs(), clock, new Map());
    const ended = new AbortController();
    const here: Seated = {
      address: hello.standbyAddress,
      session,
      ended,
      asked: new Map(),
      signal: ended.signal,
      send: (message) => session.send(message),
      sendTensor: (tensor, signal) => connection.sendTensor(tensor, signal),
    };
    this.seated = here;
    this.changes++;
    this.lastAddress = here.address;
    this.unaware.clear();
    this.doubtedUntilMs = 0;
    this.wake();
    connection.start({
      message: (message) => this.receive(here, message),
      tensor: () => this.hear(here),
      closed: (reason) => this.end(here, reason),
    });
    session.send(welcome('', HEARTBEAT_MS, self));
    const watch = new Keepalive(session, () => HEARTBEAT_MS, clock, (reason) => this.end(here, reason));
    ended.signal.addEventListener('abort', () => watch.end());
    watch.begin();
    this.access.attach(here);
    for (const run of this.options.runs()) this.follow(run);
    this.options.changed();
  }

  follow({ run, version, store, files }: Run): void {
    const { seated } = this;
    if (seated === undefined) return;
    let known!: () => void;
    const answer = new Promise<void>((resolve) => (known = resolve));
    seated.asked.set(run, { answer, known });
    const listed = files.map(({ name, bytes, sha256 }) => ({ name, bytes, sha256 }));
    seated.send({ message: 'followRun', followRun: { run, version, runJson: JSON.stringify(store.description), files: listed } });
  }

  /** Resolves when the standby, if there is one, has a folder for the run. */
  async known(run: string): Promise<void> {
    await this.seated?.asked.get(run)?.answer;
  }

  tellFleet(fleet: Fleet): void {
    if (this.seated === undefined) return;
    this.fleets = [...this.fleets, { fleet, toldAtMs: this.options.clock.nowMs() }];
    this.seated.send({ message: 'fleet', fleet: { nodes: [...fleet.nodes], beside: [...fleet.beside] } });
  }

  /** A node knows what is so since the change of that number. */
  nodeKnows(node: string, number: number): void {
    if (this.seated !== undefined || number !== this.changes) return;
    this.unaware.add(node);
    this.wake();
  }

  /** No standby has taken over, or can: a commit counts without it. */
  get mayCommit(): boolean {
    return this.isHeard || this.fleets.every(({ fleet }) => isFenced(fleet, this.unaware));
  }

  private get isHeard(): boolean {
    if (this.seated === undefined) return false;
    const { lastHeardMs } = this.seated.session.activity;
    return lastHeardMs >= this.doubtedUntilMs && this.options.clock.nowMs() - lastHeardMs < DOUBT_MS;
  }

  /** Resolves when `mayCommit`, or the signal aborts. */
  async untilMayCommit(signal: AbortSignal): Promise<void> {
    const { clock } = this.options;
    while (!this.mayCommit && !signal.aborted) {
      const bell = new Bell(clock);
      this.waiting.add(bell);
      await bell.wait(this.warnAtMs, signal).catch(() => undefined); // looks again
      this.waiting.delete(bell);
      if (!this.mayCommit) this.warn();
    }
  }

  /** Once, where it is not over soon. */
  private warn(): void {
    if (this.warnAtMs === undefined || this.options.clock.nowMs() < this.warnAtMs) return;
    this.warnAtMs = undefined;
    this.options.commitsWait(this.lastAddress);
  }

  private wake(): void {
    for (const bell of this.waiting) bell.ring();
  }

  /** The server ends in order: nobody is to take over. */
  dismiss(reason: string): void {
    const { seated } = this;
    if (seated === undefined) return;
    seated.send({ message: 'standby', standby: { address: '', heartbeatMs: HEARTBEAT_MS, number: this.changes + 1 } });
    this.fleets = [];
    this.end(seated, reason);
  }

  private hear({ session }: Seated): void {
    const nowMs = this.options.clock.nowMs();
    if (nowMs - session.activity.lastHeardMs >= DOUBT_MS) this.doubtedUntilMs = nowMs + HEARTBEAT_MS / 2;
    session.heard();
    if (this.isHeard) this.fleets = this.fleets.slice(Math.max(0, this.fleets.findLastIndex(({ toldAtMs }) => nowMs - toldAtMs >= DOUBT_MS)));
    this.wake();
  }

  private receive(seated: Seated, message: WorkerMessage): void {
    this.hear(seated);
    if (message.message === 'accessFollowed') this.access.confirmed(message.accessFollowed.part);
    else if (message.message === 'followDiffers') this.options.runs().find(({ run }) => run === message.followDiffers.run)?.following.differs(message.followDiffers.version);
    else if (message.message === 'followed') this.followed(seated, message.followed);
    else if (message.message === 'fileRequest') this.serve(seated, message.fileRequest.sha256);
  }

  private followed(seated: Seated, { run: id, seq, transfer }: Extract<WorkerMessage, { message: 'followed' }>['followed']): void {
    const run = this.options.runs().find(({ run }) => run === id);
    const asked = seated.asked.get(id);
    seated.asked.delete(id);
    if (asked !== undefined) run?.following.attach(seated, seq);
    else run?.following.confirmed({ seq, transfer });
    asked?.known();
  }

  private serve({ sendTensor, signal }: Seated, sha256: string): void {
    const file = this.options
      .runs()
      .flatMap(({ files }) => files)
      .find((candidate) => candidate.sha256 === sha256);
    // Where it cannot be read the standby goes without it: workers have theirs.
    if (file !== undefined) void sendTensor(fileTensor(file), signal).catch(() => undefined);
  }

  private end(seated: Seated, reason: string): void {
    if (!seated.session.end()) return;
    seated.session.connection.close(reason);
    seated.ended.abort(new Error(reason));
    for (const { known } of seated.asked.values()) known();
    if (this.seated === seated) this.seated = undefined;
    this.changes++;
    this.warnAtMs = this.options.clock.nowMs() + WARNING_MS;
    this.wake();
    this.options.changed();
  }
}
