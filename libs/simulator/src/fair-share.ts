import { Heap, type Placed } from '@longtail/core';
import { Alarm, type VirtualClock } from './virtual-clock.js';

/** Bytes that pass a line, and the trunk behind it. */
export interface Load {
  readonly bytes: number;
  /** The last of them has passed. Settles no promise. */
  passed(): void;
}

/** A load on its line. */
export interface Passing extends Placed {
  readonly load: Load;
  /** What each load of the line got by the time it is through. */
  readonly until: number;
  readonly order: number;
}

/** Numbers of the heaps that a line may be in. */
const BY_RATE = 0;
const BY_END = 1;

/** A rate that exceeds another one by no more than rounding does is the same. */
const ROUNDING = 1e-9;

/**
 * A port that several lines lead to: the server's, in one direction. Loads share it, and their lines, max-min fairly, as TCP
 * connections with like round trips do: each gets as much as every other unless its own line gives it less. What each got is
 * counted once a line, and for all lines that the trunk holds back once for all (the virtual time of fair queueing, Demers,
 * Keshav & Shenker 1989): what begins or ends takes time logarithmic in the number of loads.
 */
export class Trunk {
  /** Bytes/ms of a load that its own line does not hold back. */
  private level = Infinity;
  /** Bytes that each of these got, until `atMs`. */
  private service = 0;
  private atMs = 0;
  /** Bytes/ms of all lines that hold their loads back themselves, the fastest first. */
  private heldRate = 0;
  private readonly held = new Heap<Line>((a, b) => a.ownRate > b.ownRate, BY_RATE);
  /** Loads on all other lines, the slowest first. */
  private freeLoads = 0;
  private readonly free = new Heap<Line>((a, b) => a.ownRate < b.ownRate, BY_RATE);
  private readonly ending = new Heap<Line>((a, b) => a.endsAtService < b.endsAtService, BY_END);
  private readonly nextEnd = new Alarm(() => this.ending.first!.end(), true);
  private readonly bytesPerMs: number;

  constructor(
    readonly clock: VirtualClock,
    readonly bitsPerSecond: number,
  ) {
    this.bytesPerMs = bitsPerSecond / 8000;
  }

  /** What the line's next load would get, as things are. */
  shareOf(line: Line): number {
    return Math.min(line.rateOf(line.loads + 1), this.level);
  }

  /** Of a load that only the trunk holds back, until now. */
  serviceNow(): number {
    const nowMs = this.clock.nowMs();
    if (this.freeLoads > 0) this.service += (nowMs - this.atMs) * this.level;
    this.atMs = nowMs;
    return this.service;
  }

  /** Takes the line out of the reckoning, to change its loads. */
  detach(line: Line): void {
    this.serviceNow();
    this.ending.remove(line);
    if (line.isHeld) {
      this.held.remove(line);
      this.heldRate = this.held.size === 0 ? 0 : this.heldRate - line.loads * line.ownRate;
    } else {
      this.free.remove(line);
      this.freeLoads -= line.loads;
    }
  }

  /** Takes it back in, and finds the level at which all that is to be had is had (water filling). */
  attach(line: Line): void {
    this.serviceNow();
    this.insert(line, true);
    this.reckon();
    for (let next = this.next(); next !== undefined; next = this.next()) {
      this.detach(next);
      this.insert(next, !next.isHeld);
      this.reckon();
    }
    this.planEnd();
  }

  /** A line that is on the wrong side of the level. */
  private next(): Line | undefined {
    const { first: fastest } = this.held;
    if (fastest !== undefined && fastest.ownRate > this.level * (1 + ROUNDING)) return fastest;
    const { first: slowest } = this.free;
    return slowest !== undefined && slowest.ownRate <= this.level ? slowest : undefined;
  }

  private insert(line: Line, held: boolean): void {
    if (line.loads === 0) return;
    line.become(held);
    if (held) {
      this.held.add(line);
      this.heldRate += line.loads * line.ownRate;
    } else {
      this.free.add(line);
      this.freeLoads += line.loads;
      this.ending.add(line);
    }
  }

  private reckon(): void {
    const left = this.bytesPerMs - this.heldRate;
    if (this.freeLoads > 0) this.level = Math.max(0, left) / this.freeLoads;
    else this.level = left >= -ROUNDING * this.bytesPerMs ? Infinity : 0;
  }

  private planEnd(): void {
    const { first } = this.ending;
    if (first === undefined) this.nextEnd.cancel();
    else this.clock.set(this.nextEnd, this.atMs + (first.endsAtService - this.service) / this.level);
  }
}

/** What one end has of a trunk: the link of a node, or of all nodes of a site, in one direction. */
export class Line implements Placed {
  readonly places = [-1, -1];
  /** The trunk does not hold its loads back. */
  isHeld = true;
  /** Bytes that each load got, until `atMs`; on a line that is not held it is the trunk's service plus this. */
  private got = 0;
  private atMs = 0;
  private readonly passing = new Heap<Passing>((a, b) => a.until < b.until || (a.until === b.until && a.order < b.order));
  private orders = 0;
  /** Of a line that is held. */
  private readonly firstEnd = new Alarm(() => this.end(), true);

  constructor(
    private readonly trunk: Trunk,
    private readonly bitsPerSecond: number,
    /** No load gets more, however much there is: what a lossy way leaves to one connection. @default no bound */
    private readonly loadBitsPerSecond = Infinity,
  ) {}

  get loads(): number {
    return this.passing.size;
  }

  /** Bytes/ms of a load, were it not for the trunk. */
  get ownRate(): number {
    return this.rateOf(this.loads);
  }

  rateOf(loads: number): number {
    return Math.min(this.bitsPerSecond / loads, this.loadBitsPerSecond) / 8000;
  }

  /** Of a load that is alone. */
  get bestBitsPerSecond(): number {
    return Math.min(8000 * this.rateOf(1), this.trunk.bitsPerSecond);
  }

  /** Bytes/ms that another load would get. */
  get share(): number {
    return this.trunk.shareOf(this);
  }

  /** Of a line that is not held: the trunk's service when its first load is through. */
  get endsAtService(): number {
    return this.passing.first!.until - this.got;
  }

  add(load: Load): Passing {
    this.detach();
    const passing = { load, until: this.now() + load.bytes, order: this.orders++, places: [-1] };
    this.passing.add(passing);
    this.trunk.attach(this);
    return passing;
  }

  /** It will not pass. */
  remove(passing: Passing): void {
    this.detach();
    this.passing.remove(passing);
    this.trunk.attach(this);
  }

  /** The first of its loads is through. */
  end(): void {
    const passing = this.passing.first!;
    this.remove(passing);
    passing.load.passed();
  }

  /** From now on the trunk holds its loads back, or the line itself does. */
  become(held: boolean): void {
    const got = this.now();
    this.isHeld = held;
    this.atMs = this.trunk.clock.nowMs();
    this.got = held ? got : got - this.trunk.serviceNow();
    if (held) this.trunk.clock.set(this.firstEnd, this.atMs + (this.passing.first!.until - got) / this.ownRate);
    else this.firstEnd.cancel();
  }

  /** To change its loads. */
  private detach(): void {
    if (this.loads > 0) {
      this.trunk.detach(this);
      // By the rate that it had.
      this.got = this.now();
      this.isHeld = true;
    }
    this.atMs = this.trunk.clock.nowMs();
    this.firstEnd.cancel();
  }

  /** What each of its loads got, by now. */
  private now(): number {
    if (!this.isHeld) return this.got + this.trunk.serviceNow();
    return this.loads === 0 ? this.got : this.got + (this.trunk.clock.nowMs() - this.atMs) * this.ownRate;
  }
}
