import type { Clock } from '@longtail/core';

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

/**
 * Keeps a link alive; `heartbeatMs` is asked at every look. Resolves with the reason when the peer fell silent; rejects with `signal.reason` when aborted. A process that stood
 * still hears first what came meanwhile: the peer was not silent then.
 */
export async function watchLink(link: Link, heartbeatMs: () => number, clock: Clock, signal: AbortSignal): Promise<string> {
  const look = () => liveness(link.activity, clock.nowMs(), heartbeatMs());
  for (;;) {
    let decision = look();
    if (decision.dead) {
      await clock.sleep(0, signal);
      decision = look();
      if (decision.dead) return `silent for ${MISSED_HEARTBEATS} heartbeats (${MISSED_HEARTBEATS * heartbeatMs()} ms)`;
    }
    if (decision.send) link.heartbeat();
    await clock.sleep(decision.wakeAtMs - clock.nowMs(), signal);
  }
}

/**
 * Resolves with for how long this process stood still, at the first time that it was longer than peers wait for a heartbeat:
 * a machine that slept, a process that was stopped. Rejects with `signal.reason` when aborted.
 */
export async function watchStandstill(heartbeatMs: number, clock: Clock, signal: AbortSignal): Promise<number> {
  for (;;) {
    const dueAtMs = clock.nowMs() + heartbeatMs;
    await clock.sleep(heartbeatMs, signal);
    const lateMs = clock.nowMs() - dueAtMs;
    if (lateMs >= MISSED_HEARTBEATS * heartbeatMs) return lateMs;
  }
}
