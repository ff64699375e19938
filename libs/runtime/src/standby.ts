import { BackOff, LongtailError, type AccessEntries, type Clock, type Codec, type DeviceInfo, type Rng, type RunEvent, type StoredEvent } from '@longtail/core';
import { PROTOCOL_VERSION, type File, type FollowAccess, type FollowRun, type Hello, type ServerMessage, type Welcome, type WorkerMessage } from '@longtail/protocol';
import { AccessIntake } from './access-following.js';
import { Bell } from './bell.js';
import { NOBODY, type Fleet } from './fence.js';
import { FileIntake } from './file-intake.js';
import { FollowedRun, type FollowedStore } from './followed-run.js';
import { watchLink, type LinkActivity } from './liveness.js';
import type { FileCache, RunSnapshot, ServerDependencies, WorkerConnection } from './ports.js';
import { decideTakeover, type TakeoverDecision } from './takeover.js';

export type StandbyEvent =
  | { readonly event: 'following'; readonly server: string; readonly epoch: number }
  | { readonly event: 'lost'; readonly server: string; readonly reason: string }
  | { readonly event: 'differs'; readonly run: string; readonly version: number }
  | { readonly event: 'problem'; readonly run: string; readonly error: LongtailError };

interface Found {
  readonly connection: WorkerConnection;
  readonly welcome: Welcome;
}

export interface StandbyOptions {
  /** Says hello to the server; rejects with LongtailError `unreachable`, `refused` or `protocol`. */
  dial(hello: Hello, signal: AbortSignal): Promise<Found>;
  /** Where workers and clients will reach this one. */
  readonly address: string;
  readonly clock: Clock;
  readonly rng: Rng;
  readonly codecs: readonly Codec[];
  readonly createShard: ServerDependencies['createShard'];
  readonly fileCache: FileCache;
  /** Opens the store of a run, or makes it. LongtailError `storage`. */
  openStore(run: string, description: object): Promise<FollowedStore>;
  /** Whom the server lets in; `anew`: and nobody else that was held before. @default it lets in everybody */
  holdAccess?(entries: AccessEntries, anew: boolean): void;
  log(event: StandbyEvent): void;
  readonly signal: AbortSignal;
}

/** What a standby goes on from as the server. */
export interface Succession {
  readonly epoch: number;
  /** Of the server that it succeeds. */
  readonly from: string;
  /** Since it last heard of it. */
  readonly silentMs: number;
  readonly reason: string;
  /** Those without a verdict. */
  readonly runs: readonly InheritedRun[];
}

export interface InheritedRun {
  readonly run: string;
  /** Undefined: it never had a version. */
  readonly snapshot: RunSnapshot | undefined;
  readonly files: readonly File[];
  /** Of the files, by sha256. */
  readonly paths: ReadonlyMap<string, string>;
}

/** How a standby ended: it is to be the server, or the server has ended in order. */
export type StandbyOutcome = { readonly outcome: 'takeover'; readonly succession: Succession } | { readonly outcome: 'dismissed' };

const NO_DEVICE: DeviceInfo = { engine: 'cpu', description: 'standby', memoryBytes: 0, gflops: 0, throttle: 1 };

/** Follows a server until it has ended in order or is dead, as those who work for it say. */
export class Standby {
  private readonly runs = new Map<string, FollowedRun>();
  private readonly files = new Map<string, { readonly files: readonly File[]; paths: ReadonlyMap<string, string> }>();
  /** Told after all runs that the server has, and whom it lets in; undefined: not yet. */
  private fleet: Fleet | undefined;
  private readonly witnesses = new Set<string>();
  private hasRestarted = false;
  private ordered = false;
  private readonly bell: Bell;
  private dismissed = false;
  /** The last one. */
  private session: FollowingSession | undefined;
  /** That goes on. */
  private present: FollowingSession | undefined;
  /** That it follows, since it found it. */
  private server: { readonly address: string; readonly epoch: number; readonly incarnation: string } | undefined;
  private lastHeardMs = 0;

  constructor(private readonly options: StandbyOptions) {
    this.bell = new Bell(options.clock);
  }

  /** It holds enough of the server to go on as one: if not always the last version, then one of each run. */
  get ready(): boolean {
    return this.fleet !== undefined && [...this.runs.values()].every((run) => run.ready);
  }

  /** A node that lost the server has come here. */
  witness(node: string): void {
    this.witnesses.add(node);
    this.bell.ring();
  }

  /** The server was started again, and found that this one holds more than it does. */
  restarted(): void {
    this.hasRestarted = true;
    this.bell.ring();
  }

  /**
   * Somebody has decided that it takes over, whoever witnesses that the server is gone. Throws LongtailError `refused` where it does not hold
   * enough, and while the server is there, unless `force`: that holds back its commits, and ends as it finds that it was succeeded.
   */
  order(force: boolean): void {
    if (!this.ready) {
      throw new LongtailError('it has not got a version of every run of its server yet', { code: 'refused', hint: 'Start the server again: it goes on from its checkpoints.' });
    }
    if (this.present !== undefined && !force) {
      throw new LongtailError(`its server, ${this.server!.address}, is there`, { code: 'refused', hint: 'With --force it takes over all the same, and the server ends.' });
    }
    this.ordered = true;
    this.present?.end(ORDERED);
    this.bell.ring();
  }

  /**
   * Resolves when this one is to be the server, or need not be any more. Rejects with LongtailError `unreachable`, `refused`, `protocol`
   * when it never got to it, and with the signal's reason.
   */
  async follow(): Promise<StandbyOutcome> {
    const { clock, log, signal } = this.options;
    for (let found: Found | string = await this.dial(signal); ; ) {
      if (typeof found === 'string') return { outcome: 'takeover', succession: await this.succeed(found) };
      const { connection, welcome } = found;
      const { epoch, incarnation } = welcome;
      if (this.server !== undefined && this.server.incarnation !== incarnation) {
        if (this.ready) {
          connection.close('its standby takes over');
          found = 'it was started anew, and has lost what its standby holds';
          continue;
        }
        this.runs.clear();
        this.fleet = undefined;
      }
      this.server = { address: connection.peer, epoch, incarnation };
      log({ event: 'following', server: connection.peer, epoch });
      this.present = new FollowingSession(connection, welcome.heartbeatMs, this);
      const reason = await this.present.serve(signal);
      this.present = undefined;
      signal.throwIfAborted();
      if (this.dismissed) return { outcome: 'dismissed' };
      log({ event: 'lost', server: connection.peer, reason });
      this.witnesses.clear();
      this.hasRestarted = false;
      found = this.ordered ? ORDERED : await this.search(clock.nowMs());
    }
  }

  /** Until the server answers again, or is dead, with the reason to think so. */
  private async search(lostAtMs: number): Promise<Found | string> {
    const { signal } = this.options;
    const over = new AbortController();
    // A connection ends with the signal that it was dialled under.
    const dialling = new AbortController();
    const stop = () => [over, dialling].forEach((one) => one.abort(signal.reason));
    signal.addEventListener('abort', stop);
    const found = this.redial(dialling.signal);
    try {
      for (;;) {
        const decision = this.decide(lostAtMs);
        if (decision.takeOver) {
          dialling.abort(new LongtailError('its standby takes over', { code: 'cancelled' }));
          return decision.reason;
        }
        const heard = this.bell.wait(decision.wakeAtMs, over.signal);
        heard.catch(() => undefined);
        const first = await Promise.race([found, heard]);
        if (first !== undefined) return first;
      }
    } finally {
      signal.removeEventListener('abort', stop);
      found.catch(() => undefined);
      over.abort(new LongtailError('the search is over', { code: 'cancelled' }));
    }
  }

  private decide(lostAtMs: number): TakeoverDecision {
    if (this.ordered) return { takeOver: true, wakeAtMs: undefined, reason: ORDERED };
    // What the server wrote down is more than this: it is to be started again.
    if (!this.ready) return { takeOver: false, wakeAtMs: undefined, reason: 'it died before all of it was here' };
    return decideTakeover({ lostAtMs, fleet: this.fleet ?? NOBODY, witnesses: this.witnesses, restarted: this.hasRestarted }, this.options.clock.nowMs());
  }

  private async redial(signal: AbortSignal): Promise<Found> {
    const { clock, rng } = this.options;
    const backOff = new BackOff(rng);
    for (;;) {
      try {
        return await this.dial(signal);
      } catch (thrown) {
        if (LongtailError.from(thrown).code !== 'unreachable') throw thrown;
        await clock.sleep(backOff.nextMs(), signal);
      }
    }
  }

  // ---- what a session brings

  async message(message: ServerMessage, session: FollowingSession): Promise<void> {
    switch (message.message) {
      case 'standby':
        this.dismissed = message.standby.address === '';
        return;
      case 'fleet':
        this.fleet = { nodes: message.fleet.nodes, beside: new Set(message.fleet.beside) };
        return;
      case 'followAccess':
        return session.takeAccess(message.followAccess);
      case 'followRun':
        return this.followRun(message.followRun, session);
      case 'followEvents': {
        const { run, events } = message.followEvents;
        this.runs.get(run)?.append(events.map(({ seq, timeMs, bodyJson }): StoredEvent => ({ seq, timeMs, body: JSON.parse(bodyJson) as RunEvent })));
        return session.advanced(run);
      }
      case 'followCheck':
        return this.runs.get(message.followCheck.run)?.check(message.followCheck);
      case 'followVersion':
        return this.runs.get(message.followVersion.run)?.describe(message.followVersion);
      default:
        return; // a worker's
    }
  }

  find(run: string): FollowedRun | undefined {
    return this.runs.get(run);
  }

  accessIntake(): AccessIntake {
    return new AccessIntake((entries, anew) => this.options.holdAccess?.(entries, anew));
  }

  get clock(): Clock {
    return this.options.clock;
  }

  heard(): void {
    this.lastHeardMs = this.options.clock.nowMs();
  }

  intake(request: (sha256: string) => void): FileIntake {
    return new FileIntake(this.options.fileCache, request);
  }

  private dial(signal: AbortSignal): Promise<Found> {
    const { rng, address } = this.options;
    const incarnation = rng.uint32().toString(16).padStart(8, '0');
    const hello: Hello = {
      ...{ protocol: PROTOCOL_VERSION, name: 'standby', incarnation, device: NO_DEVICE, allowCode: false, peerAddress: '', host: '' },
      ...{ maxUploadBitsPerSecond: 0, node: '', curveKey: '', epoch: this.server?.epoch ?? 0, standbyAddress: address, paused: '' },
    };
    return this.options.dial(hello, signal);
  }

  private async followRun({ run, version, runJson, files }: FollowRun, session: FollowingSession): Promise<void> {
    const { createShard, codecs, clock, log } = this.options;
    let followed = this.runs.get(run);
    if (followed === undefined) {
      const store = await this.options.openStore(run, JSON.parse(runJson) as object);
      followed = new FollowedRun({
        run,
        version,
        store,
        createShard,
        fp32: codecs.find(({ name }) => name === 'fp32')!,
        now: () => clock.nowMs(),
        turn: () => clock.sleep(0, new AbortController().signal),
        advanced: () => this.session?.advanced(run),
        differs: (version) => {
          log({ event: 'differs', run, version });
          this.session?.differs(run, version);
        },
        failed: (error) => log({ event: 'problem', run, error }),
      });
      this.runs.set(run, followed);
      this.files.set(run, { files, paths: new Map() });
    }
    followed.forgetIncoming();
    this.session = session;
    session.advanced(run);
    void session.fetch(files).then(
      (paths) => this.files.set(run, { files, paths }),
      (error: unknown) => log({ event: 'problem', run, error: LongtailError.from(error) }),
    );
  }

  private async succeed(reason: string): Promise<Succession> {
    const runs: InheritedRun[] = [];
    for (const [run, followed] of this.runs) {
      if (!followed.over) runs.push({ run, snapshot: await followed.takeOver(), ...this.files.get(run)! });
    }
    const { epoch, address } = this.server!;
    return { epoch: epoch + 1, from: address, silentMs: this.options.clock.nowMs() - this.lastHeardMs, reason, runs };
  }
}

const ORDERED = 'somebody has its standby take over';

/** A standby's session with the server. */
class FollowingSession {
  /** For this reason. */
  end: (reason: string) => void = () => undefined;
  private lastSentMs: number;
  private lastHeardMs: number;
  private readonly ended = new AbortController();
  private readonly intake: FileIntake;
  private readonly access: AccessIntake;
  private fetching: Promise<unknown> = Promise.resolve();
  private readonly unsaid = new Set<string>();
  private handling: Promise<void> = Promise.resolve();

  constructor(
    private readonly connection: WorkerConnection,
    private readonly heartbeatMs: number,
    private readonly standby: Standby,
  ) {
    this.lastHeardMs = this.lastSentMs = standby.clock.nowMs();
    this.access = standby.accessIntake();
    this.intake = standby.intake((sha256) => this.send({ message: 'fileRequest', fileRequest: { sha256 } }));
  }

  get activity(): LinkActivity {
    return { lastHeardMs: this.lastHeardMs, lastSentMs: this.lastSentMs };
  }

  heartbeat(): void {
    this.send({ message: 'heartbeat', heartbeat: {} });
  }

  /** Resolves with why it ended. */
  async serve(signal: AbortSignal): Promise<string> {
    const closed = new Promise<string>((resolve) => {
      const end = (this.end = (reason: string) => {
        this.connection.close(reason);
        resolve(reason);
      });
      this.connection.start({
        message: (message) => {
          this.heard();
          // In order, though a store takes its time to open.
          this.handling = this.handling.then(() => this.standby.message(message, this)).catch((error: unknown) => end(LongtailError.from(error).message));
        },
        tensor: async (chunk) => {
          this.heard();
          if (chunk.header.kind === 'file') return this.intake.take(chunk);
          await this.handling;
          this.standby.find(chunk.header.run)?.take(chunk);
        },
        closed: resolve,
      });
      signal.addEventListener('abort', () => end('the standby was stopped'), { once: true });
      watchLink(this, () => this.heartbeatMs, this.standby.clock, this.ended.signal).then(
        (reason) => end(`the server was ${reason}`),
        () => undefined, // the session ended before
      );
    });
    const reason = await closed;
    this.ended.abort(new LongtailError(reason, { code: 'unreachable' }));
    await this.handling;
    return reason;
  }

  takeAccess(told: FollowAccess): void {
    if (this.access.take(told)) this.send({ message: 'accessFollowed', accessFollowed: { part: told.part } });
  }

  differs(run: string, version: number): void {
    this.send({ message: 'followDiffers', followDiffers: { run, version } });
  }

  /** Says how far a run has come, once for all that came at a time. */
  advanced(run: string): void {
    if (this.unsaid.has(run)) return;
    this.unsaid.add(run);
    queueMicrotask(() => {
      this.unsaid.delete(run);
      const followed = this.standby.find(run);
      if (followed !== undefined) this.send({ message: 'followed', followed: { run, seq: followed.seq, transfer: followed.transfer } });
    });
  }

  /** Paths by sha256, one run after the other. */
  fetch(files: readonly File[]): Promise<ReadonlyMap<string, string>> {
    const fetched = this.fetching.then(() => this.intake.fetch(files, this.ended.signal));
    this.fetching = fetched.catch(() => undefined);
    return fetched;
  }

  private send(message: WorkerMessage): void {
    this.lastSentMs = this.standby.clock.nowMs();
    this.connection.send(message);
  }

  private heard(): void {
    this.lastHeardMs = this.standby.clock.nowMs();
    this.standby.heard();
  }
}
