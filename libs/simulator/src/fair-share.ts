import { Ranking } from '@longtail/core';
import { Heap, type Placed } from './heap.js';
import { Alarm, type VirtualClock } from './virtual-clock.js';

/** Bytes that pass a line, and the trunk behind it. Fields that are not readonly are the line's. */
export interface Load extends Placed {
  readonly bytes: number;
  /** What each load of the line got by the time it is through. */
  until: number;
  /** Of those that are through at once, the first comes first. */
  turn: number;
  /** The last of them has passed. Settles no promise. */
  passed(): void;
}

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
  private readonly held = new Ranking();
  /** Loads on all other lines, the slowest first. */
  private freeLoads = 0;
  private readonly free = new Ranking();
  private readonly ending = new Ranking();
  /** That have loads, by the number that they have as long as they do. */
  private readonly lines: (Line | undefined)[] = [];
  private readonly freeNumbers: number[] = [];
  private readonly nextEnd: Alarm;
  private readonly bytesPerMs: number;

  constructor(
    readonly clock: VirtualClock,
    readonly bitsPerSecond: number,
  ) {
    this.bytesPerMs = bitsPerSecond / 8000;
    this.nextEnd = new NextEnd(this);
  }

  /** The first load of all that only the trunk holds back is through. */
  end(): void {
    this.lines[this.ending.first!]!.end();
  }

  /** What the line's next load would get, as things are. */
  shareOf(line: Line): number {
    return Math.min(line.rateOf(line.loads + 1), this.level);
  }

  /** Of a load that only the trunk holds back, until now. */
  serviceNow(): number {
    const nowMs = this.clock.nowMs();
    if (nowMs === this.atMs) return this.service;
    if (this.freeLoads > 0) this.service += (nowMs - this.atMs) * this.level;
    this.atMs = nowMs;
    return this.service;
  }

  /** Takes the line out of the reckoning, to change its loads. */
  detach(line: Line): void {
    this.serviceNow();
    const { number } = line;
    this.ending.remove(number);
    if (line.isHeld) {
      this.held.remove(number);
      this.heldRate = this.held.size === 0 ? 0 : this.heldRate - line.loads * line.ownRate;
    } else {
      this.free.remove(number);
      this.freeLoads -= line.loads;
    }
  }

  /** Takes it back in, and finds the level at which all that is to be had is had (water filling). */
  attach(line: Line): void {
    this.serviceNow();
    this.insert(line, true);
    this.reckon();
    let next = this.next();
    // Where the trunk is busy it is the line itself, most of the time.
    if (next !== line) line.planEnd();
    for (; next !== undefined; next = this.next()) {
      this.detach(next);
      this.insert(next, !next.isHeld);
      next.planEnd();
      this.reckon();
    }
    this.planEnd();
  }

  /** A line that is on the wrong side of the level. */
  private next(): Line | undefined {
    const { held, free, lines, level } = this;
    if (held.size > 0 && -held.firstKey > level * (1 + ROUNDING)) return lines[held.first!];
    return free.size > 0 && free.firstKey <= level ? lines[free.first!] : undefined;
  }

  private insert(line: Line, held: boolean): void {
    if (line.loads === 0) return this.forget(line);
    line.become(held);
    const { loads, ownRate } = line;
    const number = this.numberOf(line);
    if (held) {
      this.held.add(number, -ownRate);
      this.heldRate += loads * ownRate;
    } else {
      this.free.add(number, ownRate);
      this.freeLoads += loads;
      this.ending.add(number, line.endsAtService);
    }
  }

  private numberOf(line: Line): number {
    if (line.number < 0) {
      line.number = this.freeNumbers.pop() ?? this.lines.length;
      this.lines[line.number] = line;
    }
    return line.number;
  }

  private forget(line: Line): void {
    if (line.number < 0) return;
    this.lines[line.number] = undefined;
    this.freeNumbers.push(line.number);
    line.number = -1;
  }

  private reckon(): void {
    const left = this.bytesPerMs - this.heldRate;
    if (this.freeLoads > 0) this.level = Math.max(0, left) / this.freeLoads;
    else this.level = left >= -ROUNDING * this.bytesPerMs ? Infinity : 0;
  }

  private planEnd(): void {
    const { ending, nextEnd, clock } = this;
    if (ending.size === 0) clock.cancel(nextEnd);
    else clock.set(nextEnd, this.atMs + (ending.firstKey - this.service) / this.level);
  }
}

class NextEnd extends Alarm {
  constructor(private readonly trunk: Trunk) {
    super(true);
  }

  ring(): void {
    this.trunk.end();
  }
}

function isThroughBefore(a: Load, b: Load): boolean {
  return a.until < b.until || (a.until === b.until && a.turn < b.turn);
}

/** What one end has of a trunk: the link of a node, or of all nodes of a site, in one direction. Rings when the first load of a line that is held is through. */
export class Line extends Alarm {
  /** Among the lines of the trunk; −1: it has no loads. */
  number = -1;
  /** The trunk does not hold its loads back. */
  isHeld = true;
  /** Bytes that each load got, until `atMs`; on a line that is not held it is the trunk's service plus this. */
  private got = 0;
  private atMs = 0;
  /** The first of its loads that is through. */
  private first: Load | undefined;
  /** All others; undefined: there never were any. */
  private others: Heap<Load> | undefined;
  /** Loads that it has. */
  loads = 0;
  private turns = 0;
  /** No load gets more; undefined: no bound. */
  private readonly loadBitsPerSecond: number | undefined;

  /** `loadBitsPerSecond`: no load gets more, however much there is: what a lossy way leaves to one connection. */
  constructor(
    private readonly trunk: Trunk,
    private readonly bitsPerSecond: number,
    loadBitsPerSecond = Infinity,
  ) {
    super(true);
    this.loadBitsPerSecond = loadBitsPerSecond === Infinity ? undefined : loadBitsPerSecond;
  }

  ring(): void {
    this.end();
  }

  /** Bytes/ms of a load, were it not for the trunk. */
  get ownRate(): number {
    return this.rateOf(this.loads);
  }

  rateOf(loads: number): number {
    const bitsPerSecond = this.bitsPerSecond / loads;
    return (this.loadBitsPerSecond === undefined ? bitsPerSecond : Math.min(bitsPerSecond, this.loadBitsPerSecond)) / 8000;
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
    return this.first!.until - this.got;
  }

  add(load: Load): void {
    this.detach();
    load.until = this.got + load.bytes;
    load.turn = this.turns++;
    this.insert(load);
    this.trunk.attach(this);
  }

  /** It will not pass. */
  remove(load: Load): void {
    this.detach();
    this.loads--;
    if (load !== this.first) this.others!.remove(load);
    else if ((this.first = this.others?.first) !== undefined) this.others!.remove(this.first);
    this.trunk.attach(this);
  }

  /** The first of its loads is through. */
  end(): void {
    const load = this.first!;
    this.remove(load);
    load.passed();
  }

  /** From now on the trunk holds its loads back, or the line itself does. */
  become(held: boolean): void {
    const got = this.now();
    this.isHeld = held;
    this.atMs = this.trunk.clock.nowMs();
    this.got = held ? got : got - this.trunk.serviceNow();
    this.trunk.clock.cancel(this);
  }

  /** Rings then, unless the trunk holds it back or it has no loads. */
  planEnd(): void {
    if (this.isHeld && this.loads > 0) this.trunk.clock.set(this, this.atMs + (this.first!.until - this.got) / this.ownRate);
  }

  private insert(load: Load): void {
    const { first } = this;
    const isFirst = first === undefined || isThroughBefore(load, first);
    const other = isFirst ? first : load;
    if (isFirst) this.first = load;
    if (other !== undefined) (this.others ??= new Heap(isThroughBefore)).add(other);
    this.loads++;
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
    this.trunk.clock.cancel(this);
  }

  /** What each of its loads got, by now. */
  private now(): number {
    if (!this.isHeld) return this.got + this.trunk.serviceNow();
    return this.loads === 0 ? this.got : this.got + (this.trunk.clock.nowMs() - this.atMs) * this.ownRate;
  }
}
