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

/** Takes down what a node is at. Takes the same room however long that goes on. */
export class NodeBook {
  samples = 0;
  private bytesUp = 0;
  private bytesDown = 0;
  private connections = 0;
  private computing = 0;
  private sending = 0;
  private receiving = 0;
  /** By `ACTIVITIES`. */
  private readonly ms = new Float64Array(ACTIVITIES.length);
  private activity = AWAY;
  private sinceMs = 0;
  private windows = new Windows(FIRST_WINDOW_MS);
  private spans: ActivitySpan[] | undefined;
  private taken: readonly ActivitySpan[] = [];

  constructor(
    readonly name: string,
    private readonly nowMs: () => number,
  ) {}

  connected(isHere: boolean): void {
    this.connections += isHere ? 1 : -1;
    this.look();
  }

  /** Begins or ends one of several at a time. */
  computes(begins: boolean): void {
    this.computing += begins ? 1 : -1;
    this.look();
  }

  sends(begins: boolean): void {
    this.sending += begins ? 1 : -1;
    this.look();
  }

  receives(begins: boolean): void {
    this.receiving += begins ? 1 : -1;
    this.look();
  }

  sent(bytes: number): void {
    this.bytesUp += bytes;
  }

  received(bytes: number): void {
    this.bytesDown += bytes;
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
    this.windows.foldTo(windowMs);
    const { name, bytesUp, bytesDown, samples, taken: spans } = this;
    const [compute, send, receive, wait] = this.ms as Iterable<number> as [number, number, number, number];
    return { name, hereMs: compute + send + receive + wait, ms: { compute, send, receive, wait }, bytesUp, bytesDown, samples, spans, utilisation: this.windows.utilisation() };
  }

  get windowMs(): number {
    return this.windows.windowMs;
  }

  private look(): void {
    const working = this.computing > 0 ? 0 : this.sending > 0 ? 1 : this.receiving > 0 ? 2 : WAITS;
    const activity = this.connections > 0 ? working : AWAY;
    if (activity === this.activity) return;
    this.settle();
    this.activity = activity;
  }

  /** Takes down what it was at until now. */
  settle(): void {
    const { activity, sinceMs } = this;
    const nowMs = this.nowMs();
    this.sinceMs = nowMs;
    if (activity === AWAY || nowMs === sinceMs) return;
    this.ms[activity]! += nowMs - sinceMs;
    this.windows.add(activity === 0, sinceMs, nowMs);
    this.spans?.push({ activity: ACTIVITIES[activity]!, fromMs: sinceMs, toMs: nowMs });
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
