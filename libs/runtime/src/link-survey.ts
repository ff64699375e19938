import { LongtailError, type AllocateTensor, type Clock, type LinkRate, type MeasuredLink } from '@longtail/core';
import type { LinkMeasured, LinkProbed } from '@longtail/protocol';
import { Answers } from './answers.js';
import { strays } from './link-drift.js';
import { measureSending } from './measure-sending.js';
import type { Session } from './membership.js';

export interface LinkSurveyOptions {
  readonly clock: Clock;
  readonly allocate: AllocateTensor;
  /** Of the largest transfer; 0: nothing is measured. */
  readonly probeBytes: number;
  /** A node's link was measured, could not be, or is not what it was. */
  measured(session: Session): void;
}

/** For a worker's answer: longer than its own limit. */
const PATIENCE_MS = 8000;
/** A figure older than that is measured anew when its node gets work. */
const STALE_MS = 600_000;
const NEVER = new AbortController();

/**
 * Measures the links of nodes that join, up and then down, one node after the other: several at once would measure what
 * they leave to each other. From then on they are what training finds.
 */
export class LinkSurvey {
  private readonly answers: Answers<LinkProbed>;
  private turn: Promise<void> = Promise.resolve();
  /** Links as they were last reported. */
  private readonly reported = new WeakMap<Session, MeasuredLink>();

  constructor(private readonly options: LinkSurveyOptions) {
    this.answers = new Answers(options.clock);
  }

  add(session: Session): void {
    if (this.options.probeBytes === 0) return;
    session.linkPending = true;
    this.turn = this.turn.then(() => this.measure(session));
  }

  /** Measures again what is old, where nothing else uses the link. */
  refresh(session: Session): void {
    const { link, part, linkPending } = session;
    if (!linkPending && part === undefined && link !== undefined && this.options.clock.nowMs() > link.measuredAtMs + STALE_MS) this.add(session);
  }

  /** While it trains: up as the worker found it, down as this end did. */
  used(session: Session, { upBitsPerSecond, roundTripMs }: LinkMeasured): void {
    const { link, linkPending } = session;
    const { sending } = session.connection;
    if (linkPending) return;
    // As fast as up, until it is known.
    const downBitsPerSecond = sending?.bitsPerSecond ?? link?.downBitsPerSecond ?? upBitsPerSecond;
    const shortestMs = Math.min(roundTripMs, sending?.roundTripMs ?? Infinity);
    session.link = { upBitsPerSecond, downBitsPerSecond, roundTripMs: shortestMs, measuredAtMs: this.options.clock.nowMs() };
    const before = this.reported.get(session);
    if (before === undefined || strays(before, session.link)) this.report(session);
  }

  answered({ node }: Session, probed: LinkProbed): void {
    this.answers.give(node, probed);
  }

  left({ node }: Session): void {
    this.answers.giveUp(node);
  }

  private async measure(session: Session): Promise<void> {
    const { clock, probeBytes } = this.options;
    if (session.isOpen) {
      session.send({ message: 'probeLink', probeLink: { mostBytes: probeBytes } });
      const up = await this.answers.to(session.node, PATIENCE_MS);
      const down = up !== undefined && up.upBitsPerSecond > 0 ? await this.measureDown(session) : undefined;
      if (up !== undefined && down !== undefined) {
        const roundTripMs = Math.min(up.roundTripMs, down.roundTripMs);
        const { upBitsPerSecond } = up;
        session.link = { upBitsPerSecond, downBitsPerSecond: down.bitsPerSecond, roundTripMs, measuredAtMs: clock.nowMs() };
      }
    }
    session.linkPending = false;
    this.report(session);
  }

  private measureDown({ connection }: Session): Promise<LinkRate | undefined> {
    const { clock, allocate, probeBytes } = this.options;
    return measureSending(connection, { clock, allocate, mostBytes: probeBytes, signal: NEVER.signal }).catch(unmeasurable);
  }

  private report(session: Session): void {
    if (session.link !== undefined) this.reported.set(session, session.link);
    this.options.measured(session);
  }
}

/** The session ended, or its link is too slow to be of use: whoever plans takes it for unknown. */
function unmeasurable(error: unknown): undefined {
  if (error instanceof LongtailError) return undefined;
  throw error;
}
