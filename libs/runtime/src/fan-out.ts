/**
 * One abort for many waits at once, each with a signal of its own: a listener for each of hundreds of tensors on one
 * signal looks like a leak to whoever counts them.
 */
export class FanOut {
  private readonly waits = new Set<AbortController>();
  private ended: { readonly reason: unknown } | undefined;

  /** Ends with `signal`, or by `abort`. */
  constructor(signal?: AbortSignal) {
    if (signal?.aborted) this.abort(signal.reason);
    else signal?.addEventListener('abort', () => this.abort(signal.reason), { once: true });
  }

  get aborted(): boolean {
    return this.ended !== undefined;
  }

  abort(reason: unknown): void {
    this.ended ??= { reason };
    for (const wait of this.waits) wait.abort(reason);
  }

  async run<T>(wait: (signal: AbortSignal) => Promise<T>): Promise<T> {
    const abort = new AbortController();
    if (this.ended !== undefined) abort.abort(this.ended.reason);
    this.waits.add(abort);
    try {
      return await wait(abort.signal);
    } finally {
      this.waits.delete(abort);
    }
  }
}
