import type { Clock, Timer } from '@longtail/core';

/** Wakes the one who waits when something changed. Rings with nobody waiting count as one and are kept for the next wait. */
export class Bell {
  private rung = false;
  /** Of who waits, and what may end it. */
  private resolve: (() => void) | undefined;
  private signal: AbortSignal | undefined;
  private timer: Timer | undefined;

  constructor(private readonly clock: Clock) {}

  ring(): void {
    this.rung = true;
    this.wake();
  }

  /** Resolves at the next ring or at `untilMs`, whichever is first; rejects with `signal.reason` when aborted. @default nothing aborts it */
  async wait(untilMs?: number, signal?: AbortSignal): Promise<void> {
    signal?.throwIfAborted();
    if (!this.rung) await this.ringOrTime(untilMs, signal);
    this.rung = false;
    signal?.throwIfAborted();
  }

  private ringOrTime(untilMs: number | undefined, signal: AbortSignal | undefined): Promise<void> {
    if (this.resolve !== undefined) throw new Error('two wait for one bell');
    const { clock, wake } = this;
    this.signal = signal;
    signal?.addEventListener('abort', wake);
    if (untilMs !== undefined) (this.timer ??= clock.timer(wake)).set(Math.max(0, untilMs - clock.nowMs()));
    return new Promise((resolve) => (this.resolve = resolve));
  }

  private readonly wake = (): void => {
    const { resolve } = this;
    if (resolve === undefined) return;
    this.resolve = undefined;
    this.signal?.removeEventListener('abort', this.wake);
    this.timer?.clear();
    resolve();
  };
}
