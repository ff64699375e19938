import type { Rng } from '@longtail/core';
import type { Line, Load } from './fair-share.js';
import { Alarm, type VirtualClock } from './virtual-clock.js';

/** Of a TCP segment on Ethernet. */
export const SEGMENT_BYTES = 1448;
/** A connection's first window (RFC 6928), and again after it stood idle (RFC 5681, section 4.1). */
const INITIAL_WINDOW_BYTES = 10 * SEGMENT_BYTES;
/** Least time that Linux waits for an acknowledgement. */
const LEAST_TIMEOUT_MS = 200;

/** One way between two ends. */
export interface WayOptions {
  readonly rttMs: number;
  /** Windows begin small. */
  readonly slowStart: boolean;
  /** Of segments. */
  readonly lossRate: number;
  readonly rng: Rng;
}

export interface Queued {
  readonly bytes: number;
  /** It has left; it arrives `lateMs` later than the way takes, as its last segment had to be sent again. Settles no promise. */
  left(lateMs: number): void;
}

/** Which way something goes, as a node sees it. */
export type Direction = 'up' | 'down';

/** One for both ways of a node, as what it is told of thousands of them comes from far. */
export interface FlowWatch {
  /** Something is to be sent that way, or nothing any more. */
  busy(way: Direction, isBusy: boolean): void;
  carried(way: Direction, bytes: number): void;
}

/** What one connection sends in one direction, first come, first served: it has one share of its line. Rings when its next bytes may enter the line. */
export class Flow extends Alarm implements Load {
  bytes = 0;
  until = 0;
  turn = 0;
  place = -1;
  /** Behind what is under way; undefined: nothing ever was. */
  private queue: Queued[] | undefined;
  private isOnLine = false;
  private underWay: Queued | undefined;
  /** Bytes since windows began small. */
  private burst = 0;
  private idleSinceMs = -Infinity;
  /** With those that were sent again. */
  bytesSent = 0;
  bytesLost = 0;

  private readonly rttMs: number;
  private readonly slowStart: boolean;
  private readonly lossRate: number;
  private readonly rng: Rng;

  constructor(
    private readonly clock: VirtualClock,
    private readonly line: Line,
    { rttMs, slowStart, lossRate, rng }: WayOptions,
    private readonly watch?: FlowWatch,
    private readonly way: Direction = 'up',
  ) {
    super(true);
    this.rttMs = rttMs;
    this.slowStart = slowStart;
    this.lossRate = lossRate;
    this.rng = rng;
  }

  send(one: Queued): void {
    if (this.underWay !== undefined) return void (this.queue ??= []).push(one);
    if (this.clock.nowMs() - this.idleSinceMs > this.timeoutMs) this.burst = 0;
    this.watch?.busy(this.way, true);
    this.begin(one);
  }

  /** The connection is no more: what has not left does not leave. */
  end(): void {
    this.queue = undefined;
    this.clock.cancel(this);
    if (this.isOnLine) this.line.remove(this);
    this.isOnLine = false;
    if (this.underWay !== undefined) this.rest();
  }

  passed(): void {
    const { underWay } = this;
    const { bytes } = underWay!;
    const isLastLost = this.lossRate > 0 && this.rng.uniform() < this.lossRate;
    this.bytesSent += this.bytes;
    this.bytesLost += this.bytes - bytes;
    this.watch?.carried(this.way, bytes);
    this.isOnLine = false;
    const next = this.queue?.shift();
    if (next === undefined) this.rest();
    else this.begin(next);
    underWay!.left(isLastLost ? this.timeoutMs : 0);
  }

  private rest(): void {
    this.underWay = undefined;
    this.idleSinceMs = this.clock.nowMs();
    this.watch?.busy(this.way, false);
  }

  private begin(one: Queued): void {
    const { clock, lossRate, rng } = this;
    this.underWay = one;
    const segments = Math.ceil(one.bytes / SEGMENT_BYTES);
    this.bytes = one.bytes + (lossRate > 0 ? SEGMENT_BYTES * lostOf(segments, lossRate, rng) : 0);
    const waitMs = this.slowStart ? this.windowWaits(one.bytes) : 0;
    if (waitMs === 0) this.ring();
    else clock.set(this, clock.nowMs() + waitMs);
  }

  ring(): void {
    this.isOnLine = true;
    this.line.add(this);
  }

  /** For acknowledgements, while windows are smaller than what the way holds: between two of them, each twice as large as the one before. */
  private windowWaits(bytes: number): number {
    const from = this.burst;
    this.burst += bytes;
    return slowStartWaitMs(from, this.burst, this.line.share, this.rttMs);
  }

  /** What it makes of its way when nobody else is on it. */
  get bitsPerSecond(): number {
    return this.line.bestBitsPerSecond;
  }

  private get timeoutMs(): number {
    return LEAST_TIMEOUT_MS + this.rttMs;
  }
}

/**
 * How long a sender waits for acknowledgements between the bytes `from` and `to` of a burst in slow start, at `bytesPerMs`: after
 * each window but the last until the first segment of it is acknowledged (Kurose & Ross, Computer Networking, 3rd edition, 3.7.2).
 */
function slowStartWaitMs(from: number, to: number, bytesPerMs: number, rttMs: number): number {
  let waitMs = 0;
  for (let window = INITIAL_WINDOW_BYTES, end = window; end < to; window *= 2, end += window) {
    const gapMs = rttMs + (SEGMENT_BYTES - window) / bytesPerMs;
    if (gapMs <= 0) break;
    if (end >= from) waitMs += gapMs;
  }
  return waitMs;
}

/** What loss leaves to a connection, after Mathis et al. 1997, "The macroscopic behavior of the TCP congestion avoidance algorithm". */
export function mathisBitsPerSecond(lossRate: number, rttMs: number): number {
  return lossRate === 0 ? Infinity : (8000 * SEGMENT_BYTES * Math.sqrt(3 / 2)) / (rttMs * Math.sqrt(lossRate));
}

/** Segments that are lost until so many have come through; of many the mean and the spread are right, and not the shape. */
function lostOf(segments: number, lossRate: number, rng: Rng): number {
  const odds = lossRate / (1 - lossRate);
  if (segments * odds > 30) return Math.max(0, Math.round(segments * odds + rng.normal() * Math.sqrt((segments * odds) / (1 - lossRate))));
  const beforeNext = () => Math.floor(Math.log(1 - rng.uniform()) / Math.log(1 - lossRate));
  let lost = 0;
  for (let through = beforeNext(); through < segments; through += beforeNext()) lost++;
  return lost;
}
