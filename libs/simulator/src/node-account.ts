import type { FlowWatch } from './flow.js';
import type { LinkWatch } from './virtual-network.js';

/** What a node is at; what travels beside computing counts as computing, what comes beside sending as sending. */
export type Activity = 'compute' | 'send' | 'receive' | 'wait';

/** The first one that it is at is what it counts as. */
const ACTIVITIES: readonly Activity[] = ['compute', 'send', 'receive', 'wait'];
const WAITS = 3;
const AWAY = 4;

export interface ActivitySpan {
  readonly activity: Activity;
  readonly fromMs: number;
  readonly toMs: number;
}

/** How a node spent its time. */
export interface NodeAccount {
  readonly name: string;
  /** Connected to the server: the sum of its activities. */
  readonly hereMs: number;
  readonly ms: Readonly<Record<Activity, number>>;
  /** Tensors to and from the server and other nodes, with their heads. */
  readonly bytesUp: number;
  readonly bytesDown: number;
  /** That commits are made of; of a stage, that passed through it. */
  readonly samples: number;
  /** Of a few rounds; see `FleetAccount`. */
  readonly spans: readonly ActivitySpan[];
  /** Of each window the fraction that it computed; undefined: it was not here. */
  readonly utilisation: readonly (number | undefined)[];
}

const MOST_WINDOWS = 128;
const FIRST_WINDOW_MS = 100;

/** Cells of a row. Milliseconds by `ACTIVITIES` come first, then what the node is at, and since when. */
const ACTIVITY = 4;
const SINCE_MS = 5;
/** How many it has, or is at. */
const CONNECTIONS = 6;
const COMPUTING = 7;
const SENDING = 8;
const RECEIVING = 9;
const BYTES_UP = 10;
const BYTES_DOWN = 11;
/** Of the window that it is in: its end, 0 where there is none, and how long it has been here and has computed in it. */
const WINDOW_END_MS = 12;
const WINDOW_HERE_MS = 13;
const WINDOW_COMPUTING_MS = 14;
/** Two lines of a cache. */
const CELLS = 16;

/** Takes down what a node is at. Takes the same room however long that goes on. */
export class NodeBook {
  samples = 0;
  private readonly row: number;
  private readonly windows = new Windows(FIRST_WINDOW_MS);
  private spans: ActivitySpan[] | undefined;
  private taken: readonly ActivitySpan[] = [];

  /** `cells`: of a fleet, a row for each of its nodes. What an event changes lies side by side: among thousands of nodes it comes from far. */
  constructor(
    readonly name: string,
    index: number,
    private readonly cells: Float64Array,
    private readonly nowMs: () => number,
  ) {
    this.row = CELLS * index;
    cells[this.row + ACTIVITY] = AWAY;
  }

  static cellsOf(nodes: number): Float64Array {
    return new Float64Array(CELLS * nodes);
  }

  connected(isHere: boolean): void {
    this.change(CONNECTIONS, isHere);
  }

  /** Begins or ends one of several at a time. */
  computes(begins: boolean): void {
    this.change(COMPUTING, begins);
  }

  sends(begins: boolean): void {
    this.change(SENDING, begins);
  }

  receives(begins: boolean): void {
    this.change(RECEIVING, begins);
  }

  sent(bytes: number): void {
    this.cells[this.row + BYTES_UP]! += bytes;
  }

  received(bytes: number): void {
    this.cells[this.row + BYTES_DOWN]! += bytes;
  }

  beginSpans(): void {
    this.settle();
    this.spans = [];
  }

  endSpans(): void {
    this.settle();
    this.taken = this.spans ?? [];
    this.spans = undefined;
  }

  account(windowMs: number): NodeAccount {
    this.settle();
    this.putWindow();
    this.windows.foldTo(windowMs);
    const { name, samples, taken: spans, cells, row } = this;
    const [compute, send, receive, wait] = cells.subarray(row) as Iterable<number> as [number, number, number, number];
    const [bytesUp, bytesDown] = [cells[row + BYTES_UP]!, cells[row + BYTES_DOWN]!];
    return { name, hereMs: compute + send + receive + wait, ms: { compute, send, receive, wait }, bytesUp, bytesDown, samples, spans, utilisation: this.windows.utilisation() };
  }

  get windowMs(): number {
    return this.windows.windowMs;
  }

  private change(count: number, isMore: boolean): void {
    const { cells, row } = this;
    cells[row + count]! += isMore ? 1 : -1;
    const working = cells[row + COMPUTING]! > 0 ? 0 : cells[row + SENDING]! > 0 ? 1 : cells[row + RECEIVING]! > 0 ? 2 : WAITS;
    const activity = cells[row + CONNECTIONS]! > 0 ? working : AWAY;
    if (activity === cells[row + ACTIVITY]) return;
    this.settle();
    cells[row + ACTIVITY] = activity;
  }

  /** Takes down what it was at until now. */
  settle(): void {
    const { cells, row } = this;
    const activity = cells[row + ACTIVITY]!;
    const sinceMs = cells[row + SINCE_MS]!;
    const nowMs = this.nowMs();
    cells[row + SINCE_MS] = nowMs;
    if (activity === AWAY || nowMs === sinceMs) return;
    cells[row + activity]! += nowMs - sinceMs;
    if (nowMs > cells[row + WINDOW_END_MS]!) this.turnWindow(activity === 0, sinceMs, nowMs);
    else {
      cells[row + WINDOW_HERE_MS]! += nowMs - sinceMs;
      if (activity === 0) cells[row + WINDOW_COMPUTING_MS]! += nowMs - sinceMs;
    }
    this.spans?.push({ activity: ACTIVITIES[activity]!, fromMs: sinceMs, toMs: nowMs });
  }

  /** What does not end in the window that it is in: it ends in the one that it is in from now on. */
  private turnWindow(isComputing: boolean, fromMs: number, toMs: number): void {
    const { cells, row, windows } = this;
    this.putWindow();
    windows.add(isComputing, fromMs, toMs);
    const { endMs, hereMs, computingMs } = windows.last;
    cells[row + WINDOW_END_MS] = endMs;
    cells[row + WINDOW_HERE_MS] = hereMs;
    cells[row + WINDOW_COMPUTING_MS] = computingMs;
  }

  private putWindow(): void {
    const { cells, row } = this;
    if (cells[row + WINDOW_END_MS]! > 0) this.windows.setLast(cells[row + WINDOW_HERE_MS]!, cells[row + WINDOW_COMPUTING_MS]!);
    cells[row + WINDOW_END_MS] = 0;
  }
}

/** What one of its links is at; tells the book whether the one to the server is there. */
export class LinkBook implements LinkWatch {
  private isHere = false;
  readonly up: FlowWatch;
  readonly down: FlowWatch;

  constructor(private readonly book: NodeBook) {
    this.up = new UpWatch(book);
    this.down = new DownWatch(book);
  }

  began(): void {
    this.set(true);
  }

  ended(): void {
    this.set(false);
  }

  private set(isHere: boolean): void {
    if (isHere !== this.isHere) this.book.connected(isHere);
    this.isHere = isHere;
  }
}

class UpWatch implements FlowWatch {
  constructor(private readonly book: NodeBook) {}

  busy(isBusy: boolean): void {
    this.book.sends(isBusy);
  }

  carried(bytes: number): void {
    this.book.sent(bytes);
  }
}

class DownWatch implements FlowWatch {
  constructor(private readonly book: NodeBook) {}

  busy(isBusy: boolean): void {
    this.book.receives(isBusy);
  }

  carried(bytes: number): void {
    this.book.received(bytes);
  }
}

/** Time here, and time computing, by windows that double when they become too many. */
class Windows {
  private here: number[] = [];
  private computing: number[] = [];

  constructor(public windowMs: number) {}

  get last(): { readonly endMs: number; readonly hereMs: number; readonly computingMs: number } {
    const { length } = this.here;
    return { endMs: length * this.windowMs, hereMs: this.here[length - 1] ?? 0, computingMs: this.computing[length - 1] ?? 0 };
  }

  setLast(hereMs: number, computingMs: number): void {
    const last = this.here.length - 1;
    this.here[last] = hereMs;
    this.computing[last] = computingMs;
  }

  add(computing: boolean, fromMs: number, toMs: number): void {
    while (toMs > MOST_WINDOWS * this.windowMs) this.foldTo(2 * this.windowMs);
    for (let window = Math.floor(fromMs / this.windowMs); window * this.windowMs < toMs; window++) {
      const ms = Math.min(toMs, (window + 1) * this.windowMs) - Math.max(fromMs, window * this.windowMs);
      this.here[window] = (this.here[window] ?? 0) + ms;
      if (computing) this.computing[window] = (this.computing[window] ?? 0) + ms;
    }
  }

  foldTo(windowMs: number): void {
    while (this.windowMs < windowMs) {
      this.here = folded(this.here);
      this.computing = folded(this.computing);
      this.windowMs *= 2;
    }
  }

  utilisation(): readonly (number | undefined)[] {
    return Array.from(this.here, (ms, window) => (ms === undefined || ms === 0 ? undefined : (this.computing[window] ?? 0) / ms));
  }
}

function folded(windows: readonly number[]): number[] {
  return Array.from({ length: Math.ceil(windows.length / 2) }, (_, i) => (windows[2 * i] ?? 0) + (windows[2 * i + 1] ?? 0));
}
