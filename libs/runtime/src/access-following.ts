import type { AccessEntries, Clock } from '@longtail/core';
import type { FollowAccess } from '@longtail/protocol';
import { Bell } from './bell.js';
import type { StandbyWay } from './following.js';

/** Whom a server lets in, as far as its standby is to know. */
export interface FollowedAccess {
  list(): AccessEntries;
  /** From now on `tell` is waited for with each change before anybody hears of it: one after the other. */
  follow(tell: (changed: Partial<AccessEntries>) => Promise<void>): void;
}

export interface AccessFollowingOptions {
  readonly clock: Clock;
  /** Undefined: it lets in everybody. */
  readonly access: FollowedAccess | undefined;
  /** The standby is there, and has not confirmed a change in time. */
  behind(): void;
}

/** How long a change waits for the standby. */
const PATIENCE_MS = 2000;
/** Of one message: some 300 KB. */
const MOST_ENTRIES = 1000;

/** How the server's standby follows whom it lets in: all of it at first, then each change before it is told to anybody. */
export class AccessFollowing {
  private way: StandbyWay | undefined;
  private sent = 0;
  private held = 0;
  /** It missed a change: none waits for it until it has all of them. */
  private late = false;
  private readonly bell: Bell;

  constructor(private readonly options: AccessFollowingOptions) {
    this.bell = new Bell(options.clock);
    options.access?.follow((changed) => this.tell(changed));
  }

  /** The standby knows whoever is let in. */
  get inStep(): boolean {
    return this.held === this.sent;
  }

  attach(way: StandbyWay): void {
    const { access } = this.options;
    if (access === undefined) return;
    this.way = way;
    this.held = this.sent;
    this.late = false;
    way.signal.addEventListener('abort', () => this.way === way && this.detach(), { once: true });
    this.send(way, access.list(), true);
  }

  private detach(): void {
    this.way = undefined;
    this.held = this.sent;
  }

  confirmed(part: number): void {
    this.held = Math.min(part, this.sent);
    if (this.inStep) this.late = false;
    this.bell.ring();
  }

  private async tell(changed: Partial<AccessEntries>): Promise<void> {
    const { way } = this;
    if (way === undefined) return;
    const { clock, behind } = this.options;
    this.send(way, { tokens: [], identities: [], ...changed }, false);
    const part = this.sent;
    const untilMs = clock.nowMs() + PATIENCE_MS;
    const isMissed = () => this.way === way && this.held < part;
    while (isMissed() && !this.late && clock.nowMs() < untilMs) await this.bell.wait(untilMs, way.signal).catch(() => undefined); // it is gone
    if (!isMissed()) return;
    this.late = true;
    behind();
  }

  private send(way: StandbyWay, { tokens, identities }: AccessEntries, anew: boolean): void {
    const parts = Math.max(1, Math.ceil(Math.max(tokens.length, identities.length) / MOST_ENTRIES));
    for (let part = 0; part < parts; part++) {
      const [from, to] = [part * MOST_ENTRIES, (part + 1) * MOST_ENTRIES];
      const entries: AccessEntries = { tokens: tokens.slice(from, to), identities: identities.slice(from, to) };
      way.send({ message: 'followAccess', followAccess: { part: ++this.sent, anew, more: part + 1 < parts, entriesJson: JSON.stringify(entries) } });
    }
  }
}

/** What a standby is told of it, until that is whole. */
export class AccessIntake {
  private readonly parts: AccessEntries[] = [];

  constructor(private readonly hold: (entries: AccessEntries, anew: boolean) => void) {}

  /** Whether it is whole, and held. */
  take({ anew, more, entriesJson }: FollowAccess): boolean {
    this.parts.push(JSON.parse(entriesJson) as AccessEntries);
    if (more) return false;
    const parts = this.parts.splice(0);
    this.hold({ tokens: parts.flatMap(({ tokens }) => tokens), identities: parts.flatMap(({ identities }) => identities) }, anew);
    return true;
  }
}
