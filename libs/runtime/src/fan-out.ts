/** Under a signal of several, from `begin` to `end`. */
export interface Wait {
  readonly signal: AbortSignal;
  /** It is over. */
  end(): void;
}

/** A signal that several wait under. */
class SharedSignal implements Wait {
  private readonly controller = new AbortController();
  readonly signal = this.controller.signal;
  waits = 0;
  after: SharedSignal | undefined;

  abort(reason: unknown): void {
    this.controller.abort(reason);
  }

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
  /** Of its signals, in the order in which they were made: most have one, for which no list is made. */
  private first: SharedSignal | undefined;
  private ended: { readonly reason: unknown } | undefined;

  /** Ends with `signal`, or by `abort`. */
  constructor(signal?: AbortSignal) {
    if (signal?.aborted) this.abort(signal.reason);
    else signal?.addEventListener('abort', () => this.abort(signal.reason), { once: true });
  }

  /** Somebody waits. */
  get isBusy(): boolean {
    for (let signal = this.first; signal !== undefined; signal = signal.after) if (signal.waits > 0) return true;
    return false;
  }

  get aborted(): boolean {
    return this.ended !== undefined;
  }

  abort(reason: unknown): void {
    this.ended ??= { reason };
    for (let signal = this.first; signal !== undefined; signal = signal.after) signal.abort(reason);
  }

  run<T>(wait: (signal: AbortSignal) => Promise<T>): Promise<T> {
    const begun = this.begin();
    const running = wait(begun.signal);
    const end = () => begun.end();
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
    let last: SharedSignal | undefined;
    for (let known = this.first; known !== undefined; known = known.after) {
      if (known.waits < WAITS_A_SIGNAL) return known;
      last = known;
    }
    const fresh = new SharedSignal();
    if (this.ended !== undefined) fresh.abort(this.ended.reason);
    if (last === undefined) this.first = fresh;
    else last.after = fresh;
    return fresh;
  }
}
