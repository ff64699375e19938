import { formatSeconds, LongtailError, type Clock, type Timer } from '@longtail/core';

/** No program that makes progress does so much at one instant. */
const LIVELOCK_EVENTS = 100_000;

/** Something that happens at a time, which may be put off and called off as often as one likes. */
export abstract class Alarm {
  // Assigned, and not defined, as V8 defines fields of a class of many kinds one by one in the runtime.
  /** Where the agenda had it last. */
  declare slot: number;
  declare readonly quiet: boolean;

  /** `quiet`: all that comes of it has come when `ring` returns, as it settles no promise. */
  constructor(quiet = false) {
    this.slot = 0;
    this.quiet = quiet;
  }

  abstract ring(): void;
}

/** One that calls. */
class Call extends Alarm {
  constructor(readonly ring: () => void) {
    super();
  }
}

/** Who sleeps. */
export interface Sleeper {
  readonly frozenUntilMs: number;
}

/** Set again for each wait. */
class VirtualTimer extends Alarm implements Timer {
  constructor(
    private readonly clock: VirtualClock,
    private readonly sleeper: Sleeper | undefined,
    private readonly ranOut: () => void,
  ) {
    super();
  }

  set(ms: number): void {
    this.clock.set(this, this.clock.nowMs() + ms);
  }

  clear(): void {
    this.clock.cancel(this);
  }

  ring(): void {
    const leftMs = frozenMs(this.clock, this.sleeper);
    if (leftMs > 0) this.set(leftMs);
    else this.ranOut();
  }
}

/** Thousands sleep at a time, most of them until they are no more: it is its own listener. */
class Sleep extends Alarm {
  constructor(
    private readonly clock: VirtualClock,
    private readonly signal: AbortSignal,
    private readonly sleeper: Sleeper | undefined,
    private readonly resolve: () => void,
    private readonly reject: (reason: Error) => void,
  ) {
    super();
  }

  ring(): void {
    const { clock, signal, sleeper } = this;
    const leftMs = frozenMs(clock, sleeper);
    if (leftMs > 0) return void clock.set(this, clock.nowMs() + leftMs);
    signal.removeEventListener('abort', this);
    this.resolve();
  }

  handleEvent(): void {
    this.clock.cancel(this);
    this.reject(this.signal.reason as Error);
  }
}

/** How long it stands still from now on. */
function frozenMs(clock: VirtualClock, sleeper: Sleeper | undefined): number {
  return (sleeper?.frozenUntilMs ?? 0) - clock.nowMs();
}

/**
 * Time that passes only when nothing else can happen: events run in order of time, then of scheduling, and before each
 * one every promise settles that can. Equal programs give equal histories.
 */
export class VirtualClock implements Clock {
  private now = 0;
  private scheduled = 0;
  private readonly agenda = new Agenda();
  /** Events at this instant so far. */
  private idle = 0;
  private outside = 0;
  private outsideChanged: (() => void) | undefined;

  nowMs(): number {
    return this.now;
  }

  /** Runs `ring` at `atMs`, now when that is past. */
  at(atMs: number, ring: () => void): Alarm {
    return this.set(new Call(ring), atMs);
  }

  /** To `atMs`, now when that is past, in the place of when it was set to. */
  set(alarm: Alarm, atMs: number): Alarm {
    this.agenda.put(alarm, Math.max(atMs, this.now), this.scheduled++);
    return alarm;
  }

  isSet(alarm: Alarm): boolean {
    return this.agenda.has(alarm);
  }

  /** It does not ring, if it was to. */
  cancel(alarm: Alarm): void {
    this.agenda.remove(alarm);
  }

  /** `sleeper`: does not wake while it is frozen. */
  sleep(ms: number, signal: AbortSignal, sleeper?: Sleeper): Promise<void> {
    return new Promise((resolve, reject) => {
      if (signal.aborted) return reject(signal.reason as Error);
      const sleep = new Sleep(this, signal, sleeper, resolve, reject);
      this.set(sleep, this.now + Math.max(0, ms));
      signal.addEventListener('abort', sleep);
    });
  }

  /** `sleeper`: for whom it does not run out while it is frozen. */
  timer(ring: () => void, sleeper?: Sleeper): Timer {
    return new VirtualTimer(this, sleeper, ring);
  }

  /** Work that is not the clock's (a real engine): time stands still until it is done. */
  async outsideWork<T>(work: Promise<T>): Promise<T> {
    this.outside++;
    try {
      return await work;
    } finally {
      this.outside--;
      this.outsideChanged?.();
    }
  }

  /**
   * Lets time pass until `goal` settles, and returns what it resolved with. Throws when nothing is left that could
   * happen (a deadlock), when time does not pass any more (a livelock), or at `limitMs`.
   */
  runUntil<T>(goal: Promise<T>, limitMs = Infinity): Promise<T> {
    let settled = false;
    const mark = () => {
      settled = true;
    };
    goal.then(mark, mark);
    this.idle = 0;
    return new Promise((resolve, reject) => {
      const turns: Turns = new Turns(() => {
        const mayPass = !settled && this.outside === 0;
        if (settled) resolve(goal);
        else if (mayPass) this.advance(limitMs);
        else this.outsideChanged = () => turns.begin();
        return mayPass;
      }, reject);
      turns.begin();
    });
  }

  /** Until something happened of which more may come before time passes. */
  private advance(limitMs: number): void {
    for (;;) {
      const before = this.now;
      const alarm = this.next(limitMs);
      this.idle = this.now > before ? 0 : this.idle + 1;
      if (this.idle > LIVELOCK_EVENTS) throw new Error(`livelock at ${this.now} ms: ${this.idle} events and time stands still`);
      alarm.ring();
      if (!alarm.quiet) return;
    }
  }

  /** Goes on to what happens next. */
  private next(limitMs: number): Alarm {
    const { atMs } = this.agenda;
    const alarm = this.agenda.pop();
    if (alarm === undefined) throw new Error(`deadlock at ${this.now} ms: everybody waits and nothing is scheduled`);
    if (atMs > limitMs) throw new LongtailError(`not done within its limit of ${formatSeconds(limitMs / 1000)} of virtual time`, { code: 'timeout' });
    this.now = atMs;
    return alarm;
  }
}

/** Asked of the event loop at once, which looks at its sockets once for all of them. */
const TURNS = 64;

/** Turns of the event loop: each begins when every promise has settled that can, as a macrotask waits for all microtasks. */
class Turns {
  private asked = 0;
  private goesOn = false;

  constructor(
    /** Whether there is to be another one. */
    private readonly turn: () => boolean,
    private readonly failed: (error: unknown) => void,
  ) {}

  begin(): void {
    this.goesOn = true;
    // eslint-disable-next-line no-restricted-globals -- not a timer of the simulated program: the end of its microtasks
    for (; this.asked < TURNS; this.asked++) setImmediate(this.take);
  }

  private readonly take = (): void => {
    this.asked--;
    if (!this.goesOn) return;
    try {
      this.goesOn = this.turn();
    } catch (error) {
      this.goesOn = false;
      this.failed(error);
    }
    if (this.goesOn && this.asked === 0) this.begin();
  };
}

/**
 * A heap of what is to come, each alarm once, the earliest first, each above four others (LaMarca & Ladner 1996, "The influence of caches on the
 * performance of heaps"). What is compared and moved lies side by side, and away from the alarms.
 */
class Agenda {
  private length = 0;
  private times = new Float64Array(1024);
  private orders = new Float64Array(1024);
  /** Where the alarms are in `alarms`. */
  private slots = new Int32Array(1024);
  /** Of what is in a slot, in the heap. */
  private places = new Int32Array(1024);
  private readonly alarms: (Alarm | undefined)[] = [];
  private readonly freeSlots: number[] = [];

  /** Of the first one. */
  get atMs(): number {
    return this.times[0]!;
  }

  has(alarm: Alarm): boolean {
    return this.alarms[alarm.slot] === alarm;
  }

  /** There, or from where it is. */
  put(alarm: Alarm, atMs: number, order: number): void {
    if (this.has(alarm)) {
      const place = this.places[alarm.slot]!;
      this.rise(atMs, order, alarm.slot, atMs < this.times[place]! ? place : this.emptied(place));
      return;
    }
    if (this.length === this.times.length) this.enlarge();
    const slot = this.freeSlots.pop() ?? this.alarms.length;
    this.alarms[slot] = alarm;
    alarm.slot = slot;
    this.rise(atMs, order, slot, this.length++);
  }

  remove(alarm: Alarm): void {
    if (this.has(alarm)) this.free(alarm.slot);
  }

  pop(): Alarm | undefined {
    if (this.length === 0) return undefined;
    const first = this.slots[0]!;
    const alarm = this.alarms[first];
    this.free(first);
    return alarm;
  }

  private free(slot: number): void {
    const place = this.places[slot]!;
    this.alarms[slot] = undefined;
    this.freeSlots.push(slot);
    const last = --this.length;
    if (place < last) this.rise(this.times[last]!, this.orders[last]!, this.slots[last]!, this.emptied(place));
  }

  /** Puts it where it belongs on the way to the top. */
  private rise(atMs: number, order: number, slot: number, from: number): void {
    let at = from;
    while (at > 0) {
      const parent = (at - 1) >> 2;
      const parentMs = this.times[parent]!;
      if (parentMs < atMs || (parentMs === atMs && this.orders[parent]! < order)) break;
      this.move(parent, at);
      at = parent;
    }
    this.lay(at, atMs, order, slot);
  }

  /** Where there is room when each has moved up that is the earliest below where there was: at the end of a way down, where the last of a heap nearly always belongs. */
  private emptied(place: number): number {
    const { times, orders, length } = this;
    let at = place;
    for (let first = 4 * at + 1; first < length; first = 4 * at + 1) {
      const end = Math.min(first + 4, length);
      let firstMs = times[first]!;
      for (let child = first + 1; child < end; child++) {
        const childMs = times[child]!;
        if (childMs < firstMs || (childMs === firstMs && orders[child]! < orders[first]!)) {
          first = child;
          firstMs = childMs;
        }
      }
      this.move(first, at);
      at = first;
    }
    return at;
  }

  private move(from: number, to: number): void {
    this.lay(to, this.times[from]!, this.orders[from]!, this.slots[from]!);
  }

  private lay(at: number, atMs: number, order: number, slot: number): void {
    this.times[at] = atMs;
    this.orders[at] = order;
    this.slots[at] = slot;
    this.places[slot] = at;
  }

  private enlarge(): void {
    const { times, orders, slots, places } = this;
    this.times = new Float64Array(2 * times.length);
    this.orders = new Float64Array(2 * orders.length);
    this.slots = new Int32Array(2 * slots.length);
    this.places = new Int32Array(2 * places.length);
    this.times.set(times);
    this.orders.set(orders);
    this.slots.set(slots);
    this.places.set(places);
  }
}
