/** Under a signal of several, from `begin` to `end`. */
export interface Wait {
  readonly signal: AbortSignal;
  end(): void;
}

/** A signal that several wait under. */
class SharedSignal implements Wait {
  private readonly controller = new AbortController();
  readonly signal = this.controller.signal;
  waits = 0;

  abort(reason: unknown): void {
    this.controller.abort(reason);
  }

  /** One of the waits is over. */
  end(): void {
    this.waits--;
  }
}

/** Listeners of one signal that nobody takes for a leak; each wait has up to two. */
const WAITS_A_SIGNAL = 4;

/**
 * One abort for many waits at once, a few of them with a signal of their own: a listener for each of hundreds of tensors on one
 * signal looks like a leak to whoever counts them.
 */
export class FanOut {
  private readonly signals: SharedSignal[] = [];
  /** The one that somebody waited under last: most have no other. */
  private last: SharedSignal | undefined;
  private ended: { readonly reason: unknown } | undefined;

  /** Ends with `signal`, or by `abort`. */
  constructor(signal?: AbortSignal) {
    if (signal?.aborted) this.abort(signal.reason);
    else signal?.addEventListener('abort', () => this.abort(signal.reason), { once: true });
  }

  /** Somebody waits. */
  get isBusy(): boolean {
    return this.signals.some(({ waits }) => waits > 0);
  }

  get aborted(): boolean {
    return this.ended !== undefined;
  }

  abort(reason: unknown): void {
    this.ended ??= { reason };
    for (const signal of this.signals) signal.abort(reason);
  }

  run<T>(call: (signal: AbortSignal) => Promise<T>): Promise<T> {
    const wait = this.begin();
    const running = call(wait.signal);
    const end = () => wait.end();
    running.then(end, end);
    return running;
  }

  /** For who tells itself when it waits no more. */
  begin(): Wait {
    const shared = this.free();
    shared.waits++;
    return shared;
  }

  private free(): SharedSignal {
    if (this.last !== undefined && this.last.waits < WAITS_A_SIGNAL) return this.last;
    this.last = this.signals.find(({ waits }) => waits < WAITS_A_SIGNAL) ?? this.another();
    return this.last;
  }

  private another(): SharedSignal {
    const fresh = new SharedSignal();
    if (this.ended !== undefined) fresh.abort(this.ended.reason);
    this.signals.push(fresh);
    return fresh;
  }
}
