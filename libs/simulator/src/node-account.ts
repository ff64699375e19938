import type { Direction, FlowWatch } from './flow.js';
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
  /** Connected to the server, but for what it would wait while it rests: the sum of its activities. */
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
/** 1: its owner lets it rest. */
const RESTING = 15;
/** Two lines of a cache. */
const CELLS = 16;
/** Of its windows: time here, then time computing. */
const WINDOW_CELLS = 2 * MOST_WINDOWS;
/** Of a span: by `ACTIVITIES`, from, to. */
const SPAN_NUMBERS = 3;

/** A row of each for each node of a fleet: numbers, which no collector looks at. */
export interface FleetCells {
  readonly latest: Float64Array;
  readonly windows: Float64Array;
}

/** Takes down what a node is at. Takes the same room however long that goes on. */
export class NodeBook implements FlowWatch {
  samples = 0;
  private readonly row: number;
  private readonly cells: Float64Array;
  private readonly windows: Windows;
  private spans: number[] | undefined;
  /** The latest first. */
  private taken: readonly (readonly number[])[] = [];

  /** What an event changes lies side by side: among thousands of nodes it comes from far. */
  constructor(
    readonly name: string,
    index: number,
    { latest, windows }: FleetCells,
    private readonly nowMs: () => number,
  ) {
    this.row = CELLS * index;
    this.cells = latest;
    this.windows = new Windows(FIRST_WINDOW_MS, windows, WINDOW_CELLS * index);
    latest[this.row + ACTIVITY] = AWAY;
  }

  static cellsOf(nodes: number): FleetCells {
    return { latest: new Float64Array(CELLS * nodes), windows: new Float64Array(WINDOW_CELLS * nodes) };
  }

  connected(isHere: boolean): void {
    this.change(CONNECTIONS, isHere);
  }

  /** Begins or ends one of several at a time. */
  computes(begins: boolean): void {
    this.change(COMPUTING, begins);
  }

  busy(way: Direction, begins: boolean): void {
    this.change(way === 'up' ? SENDING : RECEIVING, begins);
  }

  /** What it still holds it finishes; otherwise it counts as away. */
  rests(isResting: boolean): void {
    this.cells[this.row + RESTING] = isResting ? 1 : 0;
    this.look();
  }

  carried(way: Direction, bytes: number): void {
    this.cells[this.row + (way === 'up' ? BYTES_UP : BYTES_DOWN)]! += bytes;
  }

  beginSpans(): void {
    this.settle();
    this.spans = [];
  }

  endSpans(): void {
    this.settle();
    this.taken = [this.spans ?? [], ...this.taken.slice(0, 1)];
    this.spans = undefined;
  }

  /** Up and down. */
  get bytes(): number {
    return this.cells[this.row + BYTES_UP]! + this.cells[this.row + BYTES_DOWN]!;
  }

  /** `shown`: how many spans back. */
  account(windowMs: number, shown: number): NodeAccount {
    this.settle();
    this.putWindow();
    this.windows.foldTo(windowMs);
    const { name, samples, cells, row } = this;
    const spans = spansOf(this.taken[shown] ?? []);
    const [compute, send, receive, wait] = cells.subarray(row) as Iterable<number> as [number, number, number, number];
    const [bytesUp, bytesDown] = [cells[row + BYTES_UP]!, cells[row + BYTES_DOWN]!];
    return { name, hereMs: compute + send + receive + wait, ms: { compute, send, receive, wait }, bytesUp, bytesDown, samples, spans, utilisation: this.windows.utilisation() };
  }

  get windowMs(): number {
    return this.windows.windowMs;
  }

  private change(count: number, isMore: boolean): void {
    this.cells[this.row + count]! += isMore ? 1 : -1;
    this.look();
  }

  private look(): void {
    const { cells, row } = this;
    const idle = cells[row + RESTING]! > 0 ? AWAY : WAITS;
    const working = cells[row + COMPUTING]! > 0 ? 0 : cells[row + SENDING]! > 0 ? 1 : cells[row + RECEIVING]! > 0 ? 2 : idle;
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
    this.spans?.push(activity, sinceMs, nowMs);
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

  constructor(private readonly book: NodeBook) {}

  get flows(): FlowWatch {
    return this.book;
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

function spansOf(numbers: readonly number[]): readonly ActivitySpan[] {
  return Array.from({ length: numbers.length / SPAN_NUMBERS }, (_, i) => {
    const [activity, fromMs, toMs] = numbers.slice(SPAN_NUMBERS * i, SPAN_NUMBERS * (i + 1)) as [number, number, number];
    return { activity: ACTIVITIES[activity]!, fromMs, toMs };
  });
}

/** Time here, and time computing, by windows that double when they become too many. */
class Windows {
  private count = 0;

  constructor(
    public windowMs: number,
    private readonly cells: Float64Array,
    /** Where time here begins; time computing is behind it. */
    private readonly here: number,
  ) {}

  private get computing(): number {
    return this.here + MOST_WINDOWS;
  }

  get last(): { readonly endMs: number; readonly hereMs: number; readonly computingMs: number } {
    const { count, cells, here, computing, windowMs } = this;
    if (count === 0) return { endMs: 0, hereMs: 0, computingMs: 0 };
    return { endMs: count * windowMs, hereMs: cells[here + count - 1]!, computingMs: cells[computing + count - 1]! };
  }

  setLast(hereMs: number, computingMs: number): void {
    const { count, cells, here, computing } = this;
    cells[here + count - 1] = hereMs;
    cells[computing + count - 1] = computingMs;
  }

  add(isComputing: boolean, fromMs: number, toMs: number): void {
    while (toMs > MOST_WINDOWS * this.windowMs) this.foldTo(2 * this.windowMs);
    const { cells, here, computing, windowMs } = this;
    for (let window = Math.floor(fromMs / windowMs); window * windowMs < toMs; window++) {
      const ms = Math.min(toMs, (window + 1) * windowMs) - Math.max(fromMs, window * windowMs);
      cells[here + window]! += ms;
      if (isComputing) cells[computing + window]! += ms;
      this.count = Math.max(this.count, window + 1);
    }
  }

  foldTo(windowMs: number): void {
    for (; this.windowMs < windowMs; this.windowMs *= 2) {
      for (const begin of [this.here, this.computing]) fold(this.cells.subarray(begin, begin + this.count));
      this.count = Math.ceil(this.count / 2);
    }
  }

  utilisation(): readonly (number | undefined)[] {
    const { count, cells, here, computing } = this;
    return Array.from({ length: count }, (_, window) => (cells[here + window] === 0 ? undefined : cells[computing + window]! / cells[here + window]!));
  }
}

/** Two windows into one, from the first on. */
function fold(windows: Float64Array): void {
  const half = Math.ceil(windows.length / 2);
  for (let i = 0; i < half; i++) windows[i] = windows[2 * i]! + (windows[2 * i + 1] ?? 0);
  windows.fill(0, half);
}
