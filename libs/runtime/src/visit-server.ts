import { LongtailError, type AllocateTensor, type Clock, type MeasuredLink, type TensorChunk } from '@longtail/core';
import { PROTOCOL_VERSION, type Hello, type Welcome } from '@longtail/protocol';
import { Keepalive } from './liveness.js';
import { measureSending, privateMemory } from './measure-sending.js';
import type { WorkerConnection } from './ports.js';
import { within } from './within.js';

export interface VisitOptions {
  readonly clock: Clock;
  /** @default memory of its own */
  readonly allocate?: AllocateTensor;
  readonly signal: AbortSignal;
}

/** Both ways, with others before it in the queue. */
const LIMIT_MS = 60_000;
/** The server has no more to send when nothing came for that long, and so many round trips. */
const QUIET_MS = 500;
const ROUND_TRIPS = 8;

/** What somebody says who comes only to measure the link: a node that rests. */
export function visitorsHello(name: string, incarnation: string): Hello {
  return {
    protocol: PROTOCOL_VERSION,
    name,
    incarnation,
    node: '',
    epoch: 0,
    standbyAddress: '',
    curveKey: '',
    host: '',
    peerAddress: '',
    device: { engine: 'cpu', description: 'none: it only measures its link', memoryBytes: 0, gflops: 0, throttle: 1 },
    allowCode: false,
    maxUploadBitsPerSecond: 0,
    paused: 'it only measures its link',
  };
}

/**
 * The link to a server as a node finds it that joins (ADR 17), which then leaves: up by what is sent, down by what the server sends to
 * measure it. A second or two. Rejects with LongtailError `unreachable`, `timeout`, or the signal's reason.
 */
export function visitServer(connection: WorkerConnection, welcome: Welcome, options: VisitOptions): Promise<MeasuredLink> {
  const { clock, allocate = privateMemory } = options;
  return within(LIMIT_MS, options, async (within) => {
    const ended = new AbortController();
    const signal = AbortSignal.any([within, ended.signal]);
    const arrivals = new Arrivals();
    const active = { lastHeardMs: clock.nowMs(), lastSentMs: clock.nowMs() };
    const asked = new Promise<number>((resolve, reject) => {
      signal.addEventListener('abort', () => reject(signal.reason as Error));
      connection.start({
        message(message) {
          active.lastHeardMs = clock.nowMs();
          if (message.message === 'probeLink') resolve(message.probeLink.mostBytes);
        },
        place: () => 'borrow',
        tensor(chunk) {
          active.lastHeardMs = clock.nowMs();
          arrivals.take(chunk, active.lastHeardMs);
        },
        closed: (reason) => ended.abort(new LongtailError(`the server ended the session: ${reason}`, { code: 'unreachable' })),
      });
    });
    const heartbeat = () => {
      active.lastSentMs = clock.nowMs();
      connection.send({ message: 'heartbeat', heartbeat: {} });
    };
    const silent = (reason: string) => ended.abort(new LongtailError(`the server was ${reason}`, { code: 'unreachable' }));
    const watch = new Keepalive({ activity: active, heartbeat }, () => welcome.heartbeatMs, clock, silent);
    watch.begin();
    try {
      const { bitsPerSecond, roundTripMs } = await measureSending(connection, { clock, allocate, mostBytes: await asked, signal });
      connection.send({ message: 'linkProbed', linkProbed: { upBitsPerSecond: bitsPerSecond, roundTripMs } });
      const quietMs = QUIET_MS + ROUND_TRIPS * roundTripMs;
      while (!arrivals.over(clock.nowMs() - quietMs)) await clock.sleep(quietMs / 4, signal);
      return { upBitsPerSecond: bitsPerSecond, downBitsPerSecond: arrivals.bitsPerSecond, roundTripMs };
    } finally {
      watch.end();
      connection.send({ message: 'leave', leave: { reason: 'its link is measured' } });
      connection.close('its link is measured');
      ended.abort(DONE);
    }
  });
}

/** Given so that no DOMException with a stack is made. */
const DONE = new Error('done');

/** Transfers as they come in. Of each, what comes after its first chunk counts, and of them all the last, or one as large before it that was faster. */
class Arrivals {
  bitsPerSecond = 0;
  private firstMs = 0;
  private bytes = 0;
  private bytesBefore = 0;
  private wholeAtMs: number | undefined;

  take({ header: { chunk, chunks }, payload }: TensorChunk, nowMs: number): void {
    this.wholeAtMs = undefined;
    if (chunk === 0) [this.firstMs, this.bytes] = [nowMs, 0];
    else this.bytes += payload.length;
    if (chunk < chunks - 1) return;
    this.wholeAtMs = nowMs;
    if (nowMs === this.firstMs) return;
    const rate = (8000 * this.bytes) / (nowMs - this.firstMs);
    this.bitsPerSecond = this.bytes === this.bytesBefore ? Math.max(this.bitsPerSecond, rate) : rate;
    this.bytesBefore = this.bytes;
  }

  /** Something came, and the last of it before then. */
  over(beforeMs: number): boolean {
    return this.bitsPerSecond > 0 && this.wholeAtMs !== undefined && this.wholeAtMs < beforeMs;
  }
}
