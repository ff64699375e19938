import type { Clock, Timer } from '@longtail/core';

export interface LinkActivity {
  readonly lastHeardMs: number;
  readonly lastSentMs: number;
}

export interface LivenessDecision {
  /** Nothing was heard for three heartbeats. */
  readonly dead: boolean;
  /** The link was idle for one heartbeat: show life. */
  readonly send: boolean;
  readonly wakeAtMs: number;
}

const MISSED_HEARTBEATS = 3;

/** Heartbeats travel only on an idle link; any message or chunk shows life. */
export function liveness(link: LinkActivity, nowMs: number, heartbeatMs: number): LivenessDecision {
  const deadAtMs = link.lastHeardMs + MISSED_HEARTBEATS * heartbeatMs;
  const idleAtMs = link.lastSentMs + heartbeatMs;
  const send = nowMs >= idleAtMs;
  return { dead: nowMs >= deadAtMs, send, wakeAtMs: Math.min(deadAtMs, send ? nowMs + heartbeatMs : idleAtMs) };
}

export interface Link {
  readonly activity: LinkActivity;
  heartbeat(): void;
}

/** Looks again and again until it is ended. A timer, and no promise under a signal: a server has one for each of thousands of links. */
abstract class Watch {
  private readonly timer: Timer;
  private isOver = false;

  constructor(protected readonly clock: Clock) {
    this.timer = clock.timer(() => this.look());
  }

  protected abstract look(): void;

  protected lookIn(ms: number): void {
    if (!this.isOver) this.timer.set(ms);
  }

  /** Nothing comes of it any more. */
  end(): void {
    this.isOver = true;
    this.timer.clear();
  }
}

/**
 * Keeps a link alive; `heartbeatMs` is asked at every look. Calls `silent` with the reason, once, when the peer fell silent. A process that
 * stood still hears first what came meanwhile: the peer was not silent then.
 */
export class Keepalive extends Watch {
  private hearsFirst = false;

  constructor(
    private readonly link: Link,
    private readonly heartbeatMs: () => number,
    clock: Clock,
    private readonly silent: (reason: string) => void,
  ) {
    super(clock);
  }

  begin(): void {
    this.look();
  }

  protected look(): void {
    const { link, clock } = this;
    const heartbeatMs = this.heartbeatMs();
    const { dead, send, wakeAtMs } = liveness(link.activity, clock.nowMs(), heartbeatMs);
    if (dead && this.hearsFirst) return this.silent(`silent for ${MISSED_HEARTBEATS} heartbeats (${MISSED_HEARTBEATS * heartbeatMs} ms)`);
    this.hearsFirst = dead;
    if (dead) return this.lookIn(0);
    if (send) link.heartbeat();
    this.lookIn(wakeAtMs - clock.nowMs());
  }
}

/** Calls `stood` with for how long this process stood still, once, when that was longer than peers wait for a heartbeat: a machine that slept, a process that was stopped. */
export class StandstillWatch extends Watch {
  private dueAtMs = 0;

  constructor(
    private readonly heartbeatMs: number,
    clock: Clock,
    private readonly stood: (ms: number) => void,
  ) {
    super(clock);
  }

  begin(): void {
    this.dueAtMs = this.clock.nowMs() + this.heartbeatMs;
    this.lookIn(this.heartbeatMs);
  }

  protected look(): void {
    const lateMs = this.clock.nowMs() - this.dueAtMs;
    if (lateMs >= MISSED_HEARTBEATS * this.heartbeatMs) this.stood(lateMs);
    else this.begin();
  }
}
