import { BackOff, LongtailError, type DeviceInfo, type Rng } from '@longtail/core';
import { PROTOCOL_VERSION, type Hello, type Welcome } from '@longtail/protocol';
import { Bell } from './bell.js';
import { NOBODY } from './fence.js';
import { FollowedServer, type FollowedServerOptions, type FollowingEvent, type Succession } from './followed-server.js';
import { FollowingSession } from './following-session.js';
import type { WorkerConnection } from './ports.js';
import { decideTakeover, type TakeoverDecision } from './takeover.js';

export type StandbyEvent =
  | { readonly event: 'following'; readonly server: string; readonly epoch: number }
  | { readonly event: 'lost'; readonly server: string; readonly reason: string }
  | FollowingEvent;

interface Found {
  readonly connection: WorkerConnection;
  readonly welcome: Welcome;
}

export interface StandbyOptions extends FollowedServerOptions {
  /** Says hello to the server; rejects with LongtailError `unreachable`, `refused` or `protocol`. */
  dial(hello: Hello, signal: AbortSignal): Promise<Found>;
  /** Where workers and clients will reach this one. */
  readonly address: string;
  readonly rng: Rng;
  log(event: StandbyEvent): void;
  readonly signal: AbortSignal;
}

/** How a standby ended: it is to be the server, or the server has ended in order. */
export type StandbyOutcome = { readonly outcome: 'takeover'; readonly succession: Succession } | { readonly outcome: 'dismissed' };

const NO_DEVICE: DeviceInfo = { engine: 'cpu', description: 'standby', memoryBytes: 0, gflops: 0, throttle: 1 };

/** Follows a server until it has ended in order or is dead, as those who work for it say. */
export class Standby {
  private readonly witnesses = new Set<string>();
  private hasRestarted = false;
  private ordered = false;
  private readonly bell: Bell;
  /** That it follows, since it found it. */
  private server: FollowedServer | undefined;
  /** That goes on. */
  private session: FollowingSession | undefined;

  constructor(private readonly options: StandbyOptions) {
    this.bell = new Bell(options.clock);
  }

  /** It holds enough of the server to go on as one: if not always the last version, then one of each run. */
  get ready(): boolean {
    return this.server?.ready === true;
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
    if (this.session !== undefined && !force) {
      throw new LongtailError(`its server, ${this.server!.address}, is there`, { code: 'refused', hint: 'With --force it takes over all the same, and the server ends.' });
    }
    this.ordered = true;
    this.session?.end(ORDERED);
    this.bell.ring();
  }

  /**
   * Resolves when this one is to be the server, or need not be any more. Rejects with LongtailError `unreachable`, `refused`, `protocol`
   * when it never got to it, and with the signal's reason.
   */
  async follow(): Promise<StandbyOutcome> {
    const { clock, log, signal } = this.options;
    for (let found: Found | string = await this.dial(signal); ; ) {
      if (typeof found === 'string') return { outcome: 'takeover', succession: await this.server!.succession(found) };
      const { connection, welcome } = found;
      const { epoch, incarnation } = welcome;
      if (this.ready && this.server!.incarnation !== incarnation) {
        connection.close('its standby takes over');
        found = 'it was started anew, and has lost what its standby holds';
        continue;
      }
      if (this.server?.incarnation !== incarnation) this.server = new FollowedServer(connection.peer, epoch, incarnation, this.options);
      const { server } = this;
      log({ event: 'following', server: connection.peer, epoch });
      this.session = new FollowingSession(connection, welcome.heartbeatMs, server);
      const reason = await this.session.serve(signal);
      this.session = undefined;
      signal.throwIfAborted();
      if (server.hasEnded) return { outcome: 'dismissed' };
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
    return decideTakeover({ lostAtMs, fleet: this.server?.fleet ?? NOBODY, witnesses: this.witnesses, restarted: this.hasRestarted }, this.options.clock.nowMs());
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

  private dial(signal: AbortSignal): Promise<Found> {
    const { rng, address } = this.options;
    const incarnation = rng.uint32().toString(16).padStart(8, '0');
    const hello: Hello = {
      ...{ protocol: PROTOCOL_VERSION, name: 'standby', incarnation, device: NO_DEVICE, allowCode: false, peerAddress: '', host: '' },
      ...{ maxUploadBitsPerSecond: 0, node: '', curveKey: '', epoch: this.server?.epoch ?? 0, standbyAddress: address, paused: '' },
    };
    return this.options.dial(hello, signal);
  }
}

const ORDERED = 'somebody has its standby take over';
