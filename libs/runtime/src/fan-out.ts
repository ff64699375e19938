/** Listeners of one signal that nobody takes for a leak; each wait has up to two. */
const WAITS_A_SIGNAL = 4;

/**
 * One abort for many waits at once, a few of them with a signal of their own: a listener for each of hundreds of tensors on one
 * signal looks like a leak to whoever counts them.
 */
export class FanOut {
  private readonly signals: { readonly abort: AbortController; readonly signal: AbortSignal; waits: number }[] = [];
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
    for (const { abort } of this.signals) abort.abort(reason);
  }

  run<T>(wait: (signal: AbortSignal) => Promise<T>): Promise<T> {
    const free = this.free();
    const done = () => void free.waits--;
    free.waits++;
    const running = wait(free.signal);
    running.then(done, done);
    return running;
  }

  /** The same, for who wants to know no more than whether it came to its end. */
  attempt(wait: (signal: AbortSignal) => Promise<unknown>, ended: (isDone: boolean) => void): void {
    const free = this.free();
    free.waits++;
    wait(free.signal).then(
      () => {
        free.waits--;
        ended(true);
      },
      () => {
        free.waits--;
        ended(false);
      },
    );
  }

  private free() {
    for (const known of this.signals) if (known.waits < WAITS_A_SIGNAL) return known;
    const abort = new AbortController();
    const fresh = { abort, signal: abort.signal, waits: 0 };
    if (this.ended !== undefined) abort.abort(this.ended.reason);
    this.signals.push(fresh);
    return fresh;
  }
}
