import type { Clock } from '@longtail/core';

interface TimedEvent {
  readonly atMs: number;
  readonly order: number;
  readonly run: () => void;
  cancelled: boolean;
}

/** No program that makes progress does so much at one instant. */
const LIVELOCK_EVENTS = 100_000;

/**
 * Time that passes only when nothing else can happen: events run in order of time, then of scheduling, and before each
 * one every promise settles that can. Equal programs give equal histories.
 */
export class VirtualClock implements Clock {
  private now = 0;
  private scheduled = 0;
  private readonly heap: TimedEvent[] = [];
  private readonly turns = new Turns();
  private outside = 0;
  private outsideChanged: (() => void) | undefined;

  nowMs(): number {
    return this.now;
  }

  /** Runs `run` at `atMs` (now when that is past); returns a function that calls it off. */
  at(atMs: number, run: () => void): () => void {
    const event = { atMs: Math.max(atMs, this.now), order: this.scheduled++, run, cancelled: false };
    push(this.heap, event);
    return () => {
      event.cancelled = true;
    };
  }

  sleep(ms: number, signal: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      if (signal.aborted) return reject(signal.reason as Error);
      const aborted = () => {
        cancel();
        reject(signal.reason as Error);
      };
      const cancel = this.at(this.now + Math.max(0, ms), () => {
        signal.removeEventListener('abort', aborted);
        resolve();
      });
      signal.addEventListener('abort', aborted, { once: true });
    });
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
  async runUntil<T>(goal: Promise<T>, limitMs = Infinity): Promise<T> {
    let settled = false;
    const mark = () => {
      settled = true;
    };
    goal.then(mark, mark);
    let idle = 0;
    for (;;) {
      await this.turns.next();
      if (settled) return goal;
      if (this.outside > 0) {
        await new Promise<void>((resolve) => (this.outsideChanged = resolve));
        continue;
      }
      const event = pop(this.heap);
      if (event === undefined) throw new Error(`deadlock at ${this.now} ms: everybody waits and nothing is scheduled`);
      if (event.cancelled) continue;
      idle = event.atMs > this.now ? 0 : idle + 1;
      if (idle > LIVELOCK_EVENTS) throw new Error(`livelock at ${this.now} ms: ${idle} events and time stands still`);
      if (event.atMs > limitMs) throw new Error(`not done within ${limitMs} ms of virtual time`);
      this.now = event.atMs;
      event.run();
    }
  }
}

/** Asked of the event loop at once, which looks at its sockets once for all of them. */
const TURNS = 64;

/** A macrotask begins only after every microtask has run. */
class Turns {
  private left = 0;
  private begin: (() => void) | undefined;

  /** Resolves when every promise has settled that can. */
  next(): Promise<void> {
    if (this.left === 0) {
      this.left = TURNS;
      // eslint-disable-next-line no-restricted-globals -- not a timer of the simulated program: the end of its microtasks
      for (let i = 0; i < TURNS; i++) setImmediate(this.turn);
    }
    return new Promise((resolve) => (this.begin = resolve));
  }

  private readonly turn = (): void => {
    const { begin } = this;
    this.left--;
    this.begin = undefined;
    begin?.();
  };
}

function before(a: TimedEvent, b: TimedEvent): boolean {
  return a.atMs < b.atMs || (a.atMs === b.atMs && a.order < b.order);
}

/** Binary heap, earliest first. */
function push(heap: TimedEvent[], event: TimedEvent): void {
  let at = heap.push(event) - 1;
  while (at > 0) {
    const parent = (at - 1) >> 1;
    if (!before(event, heap[parent]!)) break;
    heap[at] = heap[parent]!;
    at = parent;
  }
  heap[at] = event;
}

function pop(heap: TimedEvent[]): TimedEvent | undefined {
  const first = heap[0];
  const last = heap.pop();
  if (heap.length === 0 || last === undefined) return first;
  let at = 0;
  for (;;) {
    let child = 2 * at + 1;
    if (child >= heap.length) break;
    if (child + 1 < heap.length && before(heap[child + 1]!, heap[child]!)) child++;
    if (!before(heap[child]!, last)) break;
    heap[at] = heap[child]!;
    at = child;
  }
  heap[at] = last;
  return first;
}
