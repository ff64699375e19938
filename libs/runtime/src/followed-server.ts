import { LongtailError, type AccessEntries, type Clock, type Codec, type RunEvent, type StoredEvent } from '@longtail/core';
import type { File, FollowRun, ServerMessage } from '@longtail/protocol';
import { AccessIntake } from './access-following.js';
import type { Fleet } from './fence.js';
import { FileIntake } from './file-intake.js';
import { FollowedRun, type FollowedStore } from './followed-run.js';
import type { FollowingSession } from './following-session.js';
import type { FileCache, RunSnapshot, ServerDependencies } from './ports.js';

export interface FollowedServerOptions {
  readonly clock: Clock;
  readonly codecs: readonly Codec[];
  readonly createShard: ServerDependencies['createShard'];
  readonly fileCache: FileCache;
  /** Opens the store of a run, or makes it. LongtailError `storage`. */
  openStore(run: string, description: object): Promise<FollowedStore>;
  /** Whom the server lets in; `anew`: and nobody else that was held before. @default it lets in everybody */
  holdAccess?(entries: AccessEntries, anew: boolean): void;
  log(event: FollowingEvent): void;
}

export type FollowingEvent =
  | { readonly event: 'differs'; readonly run: string; readonly version: number }
  | { readonly event: 'problem'; readonly run: string; readonly error: LongtailError };

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

interface Held extends Pick<InheritedRun, 'files' | 'paths'> {
  readonly followed: FollowedRun;
}

/** A server as its standby has it, from when it was found on: the same over any number of sessions, until that server is started anew. */
export class FollowedServer {
  /** It has ended in order: nobody is to take over. */
  hasEnded = false;
  private readonly runs = new Map<string, Held>();
  /** Told after all runs that the server has, and whom it lets in; undefined: not yet. */
  private told: Fleet | undefined;
  /** The last in which a run came. */
  private session: FollowingSession | undefined;
  private lastHeardMs: number;

  constructor(
    readonly address: string,
    readonly epoch: number,
    readonly incarnation: string,
    private readonly options: FollowedServerOptions,
  ) {
    this.lastHeardMs = options.clock.nowMs();
  }

  /** Enough of it is here to go on as one: if not always the last version, then one of each run. */
  get ready(): boolean {
    return this.told !== undefined && [...this.runs.values()].every(({ followed }) => followed.ready);
  }

  get fleet(): Fleet | undefined {
    return this.told;
  }

  get clock(): Clock {
    return this.options.clock;
  }

  find(run: string): FollowedRun | undefined {
    return this.runs.get(run)?.followed;
  }

  // ---- what a session brings

  heard(): void {
    this.lastHeardMs = this.options.clock.nowMs();
  }

  async message(message: ServerMessage, session: FollowingSession): Promise<void> {
    switch (message.message) {
      case 'standby':
        this.hasEnded = message.standby.address === '';
        return;
      case 'fleet':
        this.told = { nodes: message.fleet.nodes, beside: new Set(message.fleet.beside) };
        return;
      case 'followAccess':
        return session.takeAccess(message.followAccess);
      case 'followRun':
        return this.followRun(message.followRun, session);
      case 'followEvents': {
        const { run, events } = message.followEvents;
        this.find(run)?.append(events.map(({ seq, timeMs, bodyJson }): StoredEvent => ({ seq, timeMs, body: JSON.parse(bodyJson) as RunEvent })));
        return session.advanced(run);
      }
      case 'followCheck':
        return this.find(message.followCheck.run)?.check(message.followCheck);
      case 'followVersion':
        return this.find(message.followVersion.run)?.describe(message.followVersion);
      default:
        return; // a worker's
    }
  }

  accessIntake(): AccessIntake {
    return new AccessIntake((entries, anew) => this.options.holdAccess?.(entries, anew));
  }

  fileIntake(request: (sha256: string) => void): FileIntake {
    return new FileIntake(this.options.fileCache, request);
  }

  private async followRun({ run, version, runJson, files }: FollowRun, session: FollowingSession): Promise<void> {
    let held = this.runs.get(run);
    if (held === undefined) {
      const store = await this.options.openStore(run, JSON.parse(runJson) as object);
      held = { followed: this.follow(run, version, store), files, paths: new Map() };
      this.runs.set(run, held);
    }
    const { followed } = held;
    followed.forgetIncoming();
    this.session = session;
    session.advanced(run);
    void session.fetch(files).then(
      (paths) => this.runs.set(run, { followed, files, paths }),
      (error: unknown) => this.options.log({ event: 'problem', run, error: LongtailError.from(error) }),
    );
  }

  private follow(run: string, version: number, store: FollowedStore): FollowedRun {
    const { createShard, codecs, clock, log } = this.options;
    return new FollowedRun({
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
  }

  // ---- when it is dead

  /** What its standby goes on from in its place. */
  async succession(reason: string): Promise<Succession> {
    const runs: InheritedRun[] = [];
    for (const [run, { followed, files, paths }] of this.runs) {
      if (!followed.over) runs.push({ run, snapshot: await followed.takeOver(), files, paths });
    }
    const { epoch, address, lastHeardMs } = this;
    return { epoch: epoch + 1, from: address, silentMs: this.options.clock.nowMs() - lastHeardMs, reason, runs };
  }
}
