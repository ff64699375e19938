import { LongtailError, type Job, type StoredEvent, type Verdict } from '@longtail/core';
import { PROTOCOL_VERSION, type GetServerReply, type Hello, type JobRow, type NodeRow, type PeerLink } from '@longtail/protocol';
import { forked, forkSnapshot, launched, resumed, type Beginning } from './beginning.js';
import { allot, census, type Candidate } from './eligibility.js';
import { CHUNK_LENGTH } from './grid.js';
import { LinkSurvey } from './link-survey.js';
import { Membership, type ServerSelf, type Session } from './membership.js';
import { joinedEvents, leftEvent, linkEvent, pauseEvent } from './node-events.js';
import { PeerLinks } from './peer-links.js';
import type { Resumption, RunSnapshot, RunStore, ServedFile, ServerConnection, ServerDependencies } from './ports.js';
import { LOOK_MS, RunCore } from './run-core.js';
import { Run } from './run.js';
import { ServedRuns } from './served-runs.js';
import type { LaunchedRun, NodeOrder, Server, ServerOptions } from './server.js';
import { StandbyNotices } from './standby-notices.js';
import { StandbySeat } from './standby-seat.js';

/** Four round trips of 25 ms at 2.7 Gbit/s: faster links are as good as any, and a fast one over a short way is told by less (`measureSending`). */
const DEFAULT_PROBE_BYTES = 2 ** 25;

const NEVER = new AbortController();

export function createServer(dependencies: ServerDependencies, options: ServerOptions = {}): Server {
  return new ServerLoop(dependencies, options);
}

class ServerLoop implements Server {
  private readonly runs = new ServedRuns();
  private readonly membership: Membership;
  private readonly survey: LinkSurvey;
  private readonly peerLinks = new PeerLinks();
  private readonly self: ServerSelf;
  private readonly standby: StandbySeat;
  private readonly notices: StandbyNotices;
  private readonly startedAtMs: number;
  /** Of runs whose stores are being opened: a server that closes waits for them, and cancels them with the others. */
  private readonly beginnings = new Set<Promise<LaunchedRun>>();
  private closing: string | undefined;
  private dispatchPending = false;

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
      runs: () => this.runs.all,
      access: options.access,
      changed: () => this.notices.changed(this.closing !== undefined),
      commitsWait: (address) => options.commitsWait?.(address),
      accessBehind: (address) => options.accessBehind?.(address),
    });
    this.notices = new StandbyNotices(this.standby, () => this.membership.sessions, options);
    this.membership = new Membership({
      clock,
      rng,
      self: this.self,
      heartbeatMs: () => this.notices.heartbeatMs,
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
    if (from !== undefined) this.checkUnfinished(forkSnapshot(from, '', job));
    const beginning = this.beginNew(job, files, from);
    this.beginnings.add(beginning);
    const begun = await beginning.finally(() => this.beginnings.delete(beginning));
    // A client may look for it at the standby from now on.
    await this.standby.known(begun.run);
    return begun;
  }

  private async beginNew(job: Job, files: readonly ServedFile[], from: RunSnapshot | undefined): Promise<LaunchedRun> {
    const store = await this.dependencies.openRun(job);
    if (from === undefined) return this.begin(job, store, files, launched(store.run, job));
    const snapshot = forkSnapshot(from, store.run, job);
    await store.checkpoint(snapshot);
    return this.begin(job, store, files, forked(from, snapshot));
  }

  resume(resumption: Resumption): LaunchedRun {
    this.checkOpen();
    const { store, job, files } = resumption;
    if (this.runs.get(store.run)?.over === false) {
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

  private begin(job: Job, store: RunStore, files: readonly ServedFile[], beginning: Beginning): LaunchedRun {
    const { chunkLength = CHUNK_LENGTH, fleetSize } = this.options;
    const core = new RunCore(job, store, files, this.dependencies, chunkLength, this.peerLinks, this.probeBytes, this.standby, () => this.dispatch());
    const run: Run = new Run(core, () => census(run, this.fleet(), fleetSize), beginning);
    this.runs.start(run, () => this.dispatch());
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
    return this.runs.verdict(run);
  }

  watch(run: string, fromSeq: number, signal: AbortSignal): AsyncIterable<StoredEvent> {
    return this.runs.watch(run, fromSeq, signal);
  }

  cancel(run: string, reason: string): Promise<string> {
    return this.runs.cancel(run, reason);
  }

  jobs(): readonly JobRow[] {
    return this.runs.all.map((run) => run.row());
  }

  nodes(): readonly NodeRow[] {
    const now = this.dependencies.clock.nowMs();
    return this.membership.sessions.map((session) => session.row(now));
  }

  order(node: string, order: NodeOrder, reason: string): NodeRow {
    const session = this.membership.find(node);
    if (order === 'DRAIN') this.membership.drain(session, reason || 'a client drains it');
    else this.membership.hold(session, order === 'PAUSE' ? reason || 'a client lets it rest' : '');
    return session.row(this.dependencies.clock.nowMs());
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
      runningJobs: this.runs.active.length,
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
    await Promise.allSettled(this.beginnings);
    for (const { run } of this.runs.active) await this.cancel(run, reason);
    await Promise.all(this.runs.verdicts);
    this.standby.dismiss(reason);
    this.options.onStandby?.('');
    for (const session of this.membership.sessions) this.membership.drop(session, reason);
  }

  private fleet(): readonly Candidate[] {
    return this.membership.sessions.map(({ node, hello, part, paused }) => ({ node, hello, run: part?.run, paused }));
  }

  /** Gives idle nodes to runs that want them, and lets the runs look at the fleet. */
  private dispatch(): void {
    if (this.closing !== undefined) return;
    for (const session of this.membership.departing) if (session.part === undefined) this.membership.dismiss(session);
    const active = this.runs.active;
    if (active.length === 0) return;
    const takers = active.filter(({ ending }) => !ending);
    const taking = new Set<Run>();
    for (const { run: id, node } of allot(takers, this.fleet())) {
      const run = this.runs.get(id)!;
      run.take(this.membership.session(node)!);
      taking.add(run);
    }
    for (const run of taking) run.arrange();
    for (const run of active) run.changed();
  }

  private joined(session: Session): void {
    this.seen(session);
    for (const run of this.runs.active) for (const event of joinedEvents(session)) run.nodeEvent(event);
    this.notices.joined(session);
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
    const run = part && this.runs.get(part.run);
    if (leaving === '') for (const one of this.runs.active) one.nodeEvent(pauseEvent(session));
    if (paused === '') run?.goOn(node);
    else run?.rest(node, paused, leaving !== '');
    this.dispatch();
  }

  private linkMeasured(session: Session): void {
    for (const run of this.runs.active) {
      if (session.link !== undefined && session.isOpen) run.nodeEvent(linkEvent(session, session.link));
      run.linkMeasured();
    }
  }

  private left(session: Session, reason: string): void {
    this.seen(session);
    this.survey.left(session);
    this.notices.left();
    this.peerLinks.forget(session.node);
    for (const run of this.runs.active) run.nodeEvent(leftEvent(session, reason));
    this.dispatch();
  }
}
