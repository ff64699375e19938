import { LongtailError, type Job, type MeasuredLink, type RunEvent, type StoredEvent, type Verdict } from '@longtail/core';
import { PROTOCOL_VERSION, type GetServerReply, type Hello, type JobRow, type NodeRow, type OrderNodeRequest, type PeerLink, type ServerMessage } from '@longtail/protocol';
import type { FollowedAccess } from './access-following.js';
import { forked, forkSnapshot, launched, resumed, type Beginning } from './beginning.js';
import { allot, census, type Candidate } from './eligibility.js';
import { CHUNK_LENGTH } from './grid.js';
import { LinkSurvey } from './link-survey.js';
import { Membership, type ServerSelf, type Session } from './membership.js';
import { PeerLinks } from './peer-links.js';
import type { Resumption, RunSnapshot, RunStore, ServedFile, ServerConnection, ServerDependencies } from './ports.js';
import { Run } from './run.js';
import { StandbySeat } from './standby-seat.js';
import { LOOK_MS, RunCore } from './run-core.js';

export interface ServerOptions {
  /** Of the package, for people. @default '' */
  readonly version?: string;
  /** @default 2000 */
  readonly heartbeatMs?: number | undefined;
  /** Values a chunk of a tensor; must equal the workers'. @default 262144 */
  readonly chunkLength?: number | undefined;
  /** As many nodes as there will ever be. @default any number */
  readonly fleetSize?: number | undefined;
  /** How often servers have taken over from one another. @default 1 */
  readonly epoch?: number;
  /** Where its standby listens, when one has come; empty: the server ends in order, and nobody is to take over. */
  readonly onStandby?: (address: string) => void;
  /** It is gone, and may have taken over. Resolves once that cannot be any more: until then nodes are told that it is where it was. */
  readonly standbyGone?: () => Promise<void>;
  /** Whom it lets in, which its standby is to know. @default everybody */
  readonly access?: FollowedAccess | undefined;
  /** Names the machine, as workers on it do. @default '': not known */
  readonly host?: string;
  /** Its standby at that address is gone, and may have taken over: commits wait until it is back, or enough nodes know that it is gone. */
  readonly commitsWait?: (standby: string) => void;
  /** Its standby at that address did not confirm in time that somebody was let in or shut out. */
  readonly accessBehind?: (standby: string) => void;
  /** A node was told of a server of a higher epoch: this one may have been succeeded. */
  readonly outrun?: (epoch: number) => void;
  /** Bytes of the largest transfer that measures a link. 0: none is measured. @default 32 MiB */
  readonly probeBytes?: number;
}

/** The control plane and its parameter shards: who is here, which runs there are, and what they do. */
export interface Server {
  /** A worker, or a standby, dialled and its hello was checked; the server answers with welcome. */
  onSession(connection: ServerConnection, hello: Hello): void;
  /**
   * Resolves when the run is there (its `submitted` event is in the log); it starts as soon as it has workers. `from`: with
   * the parameters, the state and the data cursor of another run of the same model and data, which are its first durable
   * version. Throws LongtailError `usage` where nothing is left to learn then, and what `openRun` throws.
   */
  launch(job: Job, files: readonly ServedFile[], from?: RunSnapshot): Promise<LaunchedRun>;
  /** Goes on with a run that this server does not have, or that has ended. Throws LongtailError `usage` for one that goes on. */
  resume(resumption: Resumption): LaunchedRun;
  /** Resolves when the run has ended and its store is finished. LongtailError `usage` for an unknown run, here and below. */
  verdict(run: string): Promise<Verdict>;
  /** Events from `fromSeq` on, then live ones until the verdict or the signal. */
  watch(run: string, fromSeq: number, signal: AbortSignal): AsyncIterable<StoredEvent>;
  /** Asks a run to end; what was learnt is saved. Resolves with its status: `cancelling`, or how it had ended. */
  cancel(run: string, reason: string): Promise<string>;
  jobs(): readonly JobRow[];
  nodes(): readonly NodeRow[];
  /**
   * Lets a node, by id or by a name that it alone has, rest, work again, or leave once it is done; returns how it stands then.
   * LongtailError `usage` for one that is not here.
   */
  order(node: string, order: NodeOrder, reason: string): NodeRow;
  /** Direct links between them, as far as they were measured. */
  peers(): readonly PeerLink[];
  info(): GetServerReply;
  /** Its standby is there, and has confirmed who is let in and who is not. */
  readonly standbyKnowsAccess: boolean;
  /** Cancels what runs, waits for the verdicts, then ends the sessions. */
  close(reason: string): Promise<void>;
}

export type NodeOrder = OrderNodeRequest['order'];

export interface LaunchedRun {
  readonly run: string;
  readonly folder: string;
}

/** Runs that have ended are kept for `jobs` and `watch` up to this many. */
const FINISHED_RUNS_KEPT = 100;
const DEFAULT_HEARTBEAT_MS = 2000;
/** Of workers, while there is a standby: three of them missed, and a second for it to decide, are less than 5 s. */
const STANDBY_HEARTBEAT_MS = 1000;
/** Takes a tenth of a second at 2.7 Gbit/s: faster links are as good as any. */
const DEFAULT_PROBE_BYTES = 2 ** 25;

const NEVER = new AbortController();

export function createServer(dependencies: ServerDependencies, options: ServerOptions = {}): Server {
  return new ServerLoop(dependencies, options);
}

class ServerLoop implements Server {
  private readonly runs = new Map<string, { readonly run: Run; readonly verdict: Promise<Verdict> }>();
  private readonly membership: Membership;
  private readonly survey: LinkSurvey;
  private readonly peerLinks = new PeerLinks();
  private readonly self: ServerSelf;
  private readonly standby: StandbySeat;
  private readonly startedAtMs: number;
  private closing: string | undefined;
  private dispatchPending = false;
  /** What nodes know of the standby. */
  private told = { address: '', number: 0 };

  constructor(
    private readonly dependencies: ServerDependencies,
    private readonly options: ServerOptions,
  ) {
    const { clock, rng, allocate = (bytes) => new Uint8Array(bytes) } = dependencies;
    this.startedAtMs = clock.nowMs();
    this.self = { epoch: options.epoch ?? 1, incarnation: rng.uint32().toString(16).padStart(8, '0') };
    this.survey = new LinkSurvey({ clock, allocate, probeBytes: this.probeBytes, measured: (session) => this.linkMeasured(session) });
    this.standby = new StandbySeat({
      clock,
      self: this.self,
      runs: () => [...this.runs.values()].map(({ run }) => run),
      access: options.access,
      changed: () => this.standbyChanged(),
      commitsWait: (address) => options.commitsWait?.(address),
      accessBehind: (address) => options.accessBehind?.(address),
    });
    this.membership = new Membership({
      clock,
      rng,
      self: this.self,
      heartbeatMs: () => this.heartbeatMs,
      joined: (session) => this.joined(session),
      left: (session, reason) => this.left(session, reason),
      pauseChanged: (session) => this.pauseChanged(session),
      standbyKnown: ({ node }, number) => this.standby.nodeKnows(node, number),
      stray: (session, run, task) => {
        const reason = `this node has no part in run ${run || '(none)'}`;
        session.send({ message: 'receipt', receipt: { run, task, accepted: false, weight: 0, staleness: 0, reason, pending: false } });
      },
      probed: (session, probed) => this.survey.answered(session, probed),
      linkMeasured: (session, measured) => this.survey.used(session, measured),
    });
  }

  private get epoch(): number {
    return this.self.epoch;
  }

  /** Where a standby is to take over in time, workers must notice in time. */
  private get heartbeatMs(): number {
    const { heartbeatMs = DEFAULT_HEARTBEAT_MS } = this.options;
    return this.standby.address === '' ? heartbeatMs : Math.min(heartbeatMs, STANDBY_HEARTBEAT_MS);
  }

  private standbyChanged(): void {
    const { address, changes: number } = this.standby;
    const tell = (): void => {
      if (number !== this.standby.changes) return;
      this.told = { address, number };
      for (const session of this.membership.sessions) session.send(this.standbyMessage);
      this.tellFleet();
    };
    if (address !== '') this.options.onStandby?.(address);
    if (address !== '' || this.closing !== undefined || this.options.standbyGone === undefined) tell();
    else void this.options.standbyGone().then(tell);
  }

  private get standbyMessage(): ServerMessage {
    return { message: 'standby', standby: { ...this.told, heartbeatMs: this.heartbeatMs } };
  }

  private tellFleet(): void {
    if (this.standby.address === '') return;
    const { host = '' } = this.options;
    const { sessions } = this.membership;
    const beside = sessions.filter(({ hello }) => host !== '' && hello.host === host);
    this.standby.tellFleet({ nodes: sessions.map(({ node }) => node), beside: new Set(beside.map(({ node }) => node)) });
  }

  private get probeBytes(): number {
    return this.options.probeBytes ?? DEFAULT_PROBE_BYTES;
  }

  onSession(connection: ServerConnection, hello: Hello): void {
    const problem = this.problemOf(hello);
    if (problem === undefined) return hello.standbyAddress === '' ? this.membership.admit(connection, hello) : this.standby.admit(connection, hello);
    const refused = new LongtailError(problem, { code: 'unreachable' });
    connection.send({ message: 'refused', refused: refused.toWire() });
    connection.close(refused.message);
  }

  private problemOf({ epoch }: Hello): string | undefined {
    if (this.closing !== undefined) return `the server is closing: ${this.closing}`;
    if (epoch <= this.epoch) return undefined;
    this.options.outrun?.(epoch);
    return `the server is of epoch ${this.epoch}, and this node was told of one of epoch ${epoch}`;
  }

  async launch(job: Job, files: readonly ServedFile[], from?: RunSnapshot): Promise<LaunchedRun> {
    this.checkOpen();
    if (from === undefined) {
      const store = await this.dependencies.openRun(job);
      return this.beginFollowed(job, store, files, launched(store.run, job));
    }
    this.checkUnfinished(forkSnapshot(from, '', job));
    const store = await this.dependencies.openRun(job);
    const snapshot = forkSnapshot(from, store.run, job);
    await store.checkpoint(snapshot);
    return this.beginFollowed(job, store, files, forked(from, snapshot));
  }

  resume(resumption: Resumption): LaunchedRun {
    this.checkOpen();
    const { store, job, files } = resumption;
    if (this.runs.get(store.run)?.run.over === false) {
      throw new LongtailError(`run ${store.run} goes on as it is`, { code: 'usage', hint: 'Watch it with `longtail logs RUN --follow`.' });
    }
    return this.begin(job, store, files, resumed(resumption));
  }

  private checkOpen(): void {
    if (this.closing !== undefined) throw new LongtailError(`the server is closing: ${this.closing}`, { code: 'refused' });
  }

  private checkUnfinished({ job, leases, version }: RunSnapshot): void {
    const { free, total } = this.dependencies.createLeases(job, leases.samplesPerEpoch, leases).totals();
    if (free > 0) return;
    throw new LongtailError(`version ${version} has all ${total} samples of the job: nothing is left to learn`, {
      code: 'usage',
      where: 'train.epochs',
      hint: 'Fork the run with more epochs: `longtail fork RUN --set train.epochs=N`.',
    });
  }

  /** A client may look for it at the standby from now on. */
  private async beginFollowed(job: Job, store: RunStore, files: readonly ServedFile[], beginning: Beginning): Promise<LaunchedRun> {
    const launched = this.begin(job, store, files, beginning);
    await this.standby.known(launched.run);
    return launched;
  }

  private begin(job: Job, store: RunStore, files: readonly ServedFile[], beginning: Beginning): LaunchedRun {
    const { chunkLength = CHUNK_LENGTH, fleetSize } = this.options;
    const core = new RunCore(job, store, files, this.dependencies, chunkLength, this.peerLinks, this.probeBytes, this.standby, () => this.dispatch());
    const run: Run = new Run(core, () => census(run, this.fleet(), fleetSize), beginning);
    const verdict = run.execute().then((outcome) => {
      this.forgetOldRuns();
      this.dispatch();
      return outcome;
    });
    this.runs.set(store.run, { run, verdict });
    this.standby.follow(run);
    for (const session of this.membership.sessions) {
      for (const event of joinedEvents(session)) run.nodeEvent(event);
      this.survey.refresh(session);
      if (session.link !== undefined) run.nodeEvent(linkEvent(session, session.link));
    }
    this.dispatch();
    return { run: store.run, folder: store.folder };
  }

  verdict(run: string): Promise<Verdict> {
    return this.find(run).verdict;
  }

  async *watch(run: string, fromSeq: number, signal: AbortSignal): AsyncGenerator<StoredEvent> {
    const { store, following } = this.find(run).run;
    for await (const event of store.log.read(fromSeq, signal)) {
      await following.visible(event.seq, signal);
      yield event;
    }
  }

  async cancel(run: string, reason: string): Promise<string> {
    const found = this.find(run).run;
    if (found.over) return found.status;
    found.stop(new LongtailError(`cancelled: ${reason}`, { code: 'cancelled' }));
    return 'cancelling';
  }

  jobs(): readonly JobRow[] {
    return [...this.runs.values()].map(({ run }) => run.row());
  }

  nodes(): readonly NodeRow[] {
    const now = this.dependencies.clock.nowMs();
    return this.membership.sessions.map((session) => session.row(now));
  }

  order(node: string, order: NodeOrder, reason: string): NodeRow {
    const session = this.findNode(node);
    if (order === 'DRAIN') this.membership.drain(session, reason || 'a client drains it');
    else this.membership.hold(session, order === 'PAUSE' ? reason || 'a client lets it rest' : '');
    return session.row(this.dependencies.clock.nowMs());
  }

  private findNode(node: string): Session {
    const { sessions } = this.membership;
    const named = sessions.filter(({ name }) => name === node);
    const found = sessions.find((session) => session.node === node) ?? (named.length === 1 ? named[0] : undefined);
    if (found !== undefined) return found;
    throw new LongtailError(named.length === 0 ? `no node ${node}` : `${named.length} nodes are named ${node}`, {
      code: 'usage',
      hint: named.length === 0 ? 'List the nodes with `longtail nodes`.' : `Say which by its id: ${named.map((one) => one.node).join(', ')}.`,
    });
  }

  peers(): readonly PeerLink[] {
    return this.peerLinks.measured;
  }

  info(): GetServerReply {
    return {
      protocol: PROTOCOL_VERSION,
      version: this.options.version ?? '',
      startedAtMs: this.startedAtMs,
      nodes: this.membership.sessions.length,
      runningJobs: this.active().length,
      epoch: this.epoch,
      standbyAddress: this.standby.address,
      standbyState: this.standby.state,
    };
  }

  get standbyKnowsAccess(): boolean {
    return this.standby.knowsAccess;
  }

  async close(reason: string): Promise<void> {
    this.closing ??= reason;
    for (const { run } of this.active()) await this.cancel(run, reason);
    // Also of runs whose verdict is out: their stores may still be finishing.
    await Promise.all([...this.runs.values()].map(({ verdict }) => verdict));
    this.standby.dismiss(reason);
    this.options.onStandby?.('');
    for (const session of this.membership.sessions) this.membership.drop(session, reason);
  }

  private find(run: string): { readonly run: Run; readonly verdict: Promise<Verdict> } {
    const found = this.runs.get(run);
    if (found !== undefined) return found;
    throw new LongtailError(`no run ${run}`, { code: 'usage', hint: 'List the runs with `longtail jobs`.' });
  }

  private active(): readonly Run[] {
    return [...this.runs.values()].map(({ run }) => run).filter((run) => !run.over);
  }

  private fleet(): readonly Candidate[] {
    return this.membership.sessions.map(({ node, hello, part, paused }) => ({ node, hello, run: part?.run, paused }));
  }

  /** Gives idle nodes to runs that want them, and lets the runs look at the fleet. */
  private dispatch(): void {
    if (this.closing !== undefined) return;
    for (const session of this.membership.departing) if (session.part === undefined) this.membership.dismiss(session);
    const active = this.active();
    if (active.length === 0) return;
    const takers = active.filter(({ ending }) => !ending);
    const taking = new Set<Run>();
    for (const { run: id, node } of allot(takers, this.fleet())) {
      const { run } = this.runs.get(id)!;
      run.take(this.membership.session(node)!);
      taking.add(run);
    }
    for (const run of taking) run.arrange();
    for (const run of active) run.changed();
  }

  private joined(session: Session): void {
    this.seen(session);
    for (const run of this.active()) for (const event of joinedEvents(session)) run.nodeEvent(event);
    if (this.standby.changes > 0) session.send(this.standbyMessage);
    this.tellFleet();
    this.survey.add(session);
    void this.dispatchSoon();
  }

  /** Many who join at once are taken together. */
  private async dispatchSoon(): Promise<void> {
    if (this.dispatchPending) return;
    this.dispatchPending = true;
    await this.dependencies.clock.sleep(LOOK_MS * this.membership.size, NEVER.signal);
    this.dispatchPending = false;
    this.dispatch();
  }

  private seen(session: Session): void {
    const { clock, nodeSeen } = this.dependencies;
    nodeSeen?.(session.row(clock.nowMs()));
  }

  private pauseChanged(session: Session): void {
    const { node, paused, leaving, part } = session;
    const run = part && this.runs.get(part.run)?.run;
    if (leaving === '') for (const one of this.active()) one.nodeEvent(pauseEvent(session));
    if (paused === '') run?.goOn(node);
    else run?.rest(node, paused, leaving !== '');
    this.dispatch();
  }

  private linkMeasured(session: Session): void {
    for (const run of this.active()) {
      if (session.link !== undefined && session.isOpen) run.nodeEvent(linkEvent(session, session.link));
      run.linkMeasured();
    }
  }

  private left(session: Session, reason: string): void {
    this.seen(session);
    this.survey.left(session);
    this.tellFleet();
    this.peerLinks.forget(session.node);
    for (const run of this.active()) run.nodeEvent({ event: 'node_left', node: session.node, name: session.name, reason });
    this.dispatch();
  }

  private forgetOldRuns(): void {
    const over = [...this.runs.values()].filter(({ run }) => run.over);
    for (const { run } of over.slice(0, Math.max(0, over.length - FINISHED_RUNS_KEPT))) this.runs.delete(run.run);
  }
}

function linkEvent({ node, name }: Session, { upBitsPerSecond, downBitsPerSecond, roundTripMs }: MeasuredLink) {
  return { event: 'link', node, name, upBitsPerSecond, downBitsPerSecond, roundTripMs } as const;
}

function joinedEvents(session: Session): readonly RunEvent[] {
  const { node, name, hello, paused } = session;
  const { engine, description, throttle } = hello.device;
  const joined = { event: 'node_joined', node, name, engine, device: description, throttle } as const;
  return paused === '' ? [joined] : [joined, pauseEvent(session)];
}

function pauseEvent({ node, name, paused }: Session): RunEvent {
  return paused === '' ? { event: 'node_resumed', node, name } : { event: 'node_paused', node, name, reason: paused };
}
