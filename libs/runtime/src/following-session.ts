import { LongtailError } from '@longtail/core';
import type { File, FollowAccess, WorkerMessage } from '@longtail/protocol';
import type { AccessIntake } from './access-following.js';
import type { FileIntake } from './file-intake.js';
import type { FollowedServer } from './followed-server.js';
import { Keepalive, type LinkActivity } from './liveness.js';
import type { WorkerConnection } from './ports.js';

/** A standby's session with the server that it follows. */
export class FollowingSession {
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
    private readonly server: FollowedServer,
  ) {
    this.lastHeardMs = this.lastSentMs = server.clock.nowMs();
    this.access = server.accessIntake();
    this.intake = server.fileIntake((sha256) => this.send({ message: 'fileRequest', fileRequest: { sha256 } }));
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
          this.handling = this.handling.then(() => this.server.message(message, this)).catch((error: unknown) => end(LongtailError.from(error).message));
        },
        tensor: async (chunk) => {
          this.heard();
          if (chunk.header.kind === 'file') return this.intake.take(chunk);
          await this.handling;
          this.server.find(chunk.header.run)?.take(chunk);
        },
        closed: resolve,
      });
      signal.addEventListener('abort', () => end('the standby was stopped'), { signal: this.ended.signal });
    });
    const watch = new Keepalive(this, () => this.heartbeatMs, this.server.clock, (reason) => this.end(`the server was ${reason}`));
    watch.begin();
    const reason = await closed;
    watch.end();
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
      const followed = this.server.find(run);
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
    this.lastSentMs = this.server.clock.nowMs();
    this.connection.send(message);
  }

  private heard(): void {
    this.lastHeardMs = this.server.clock.nowMs();
    this.server.heard();
  }
}
