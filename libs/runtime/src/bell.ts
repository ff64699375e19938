import type { Clock } from '@longtail/core';

/** Wakes the one who waits when something changed. Rings with nobody waiting count as one and are kept for the next wait. */
export class Bell {
  private rung = false;
  private wake: (() => void) | undefined;

  ring(): void {
    this.rung = true;
    this.wake?.();
  }

  /** Resolves at the next ring or at `untilMs`, whichever is first; rejects with `signal.reason` when aborted. @default nothing aborts it */
  async wait(untilMs: number | undefined, clock: Clock, signal?: AbortSignal): Promise<void> {
    signal?.throwIfAborted();
    if (!this.rung) await this.ringOrTime(untilMs, clock, signal);
    this.rung = false;
    signal?.throwIfAborted();
  }

  private ringOrTime(untilMs: number | undefined, clock: Clock, signal: AbortSignal | undefined): Promise<void> {
    return new Promise((resolve) => {
      const timer = untilMs === undefined ? undefined : new AbortController();
      const wake = () => {
        this.wake = undefined;
        signal?.removeEventListener('abort', wake);
        timer?.abort(WOKEN);
        resolve();
      };
      this.wake = wake;
      signal?.addEventListener('abort', wake);
      if (timer !== undefined) void clock.sleep(Math.max(0, untilMs! - clock.nowMs()), timer.signal).then(wake, () => undefined);
    });
  }
}

/** Given so that no DOMException with a stack is made for every wait. */
const WOKEN = new Error('woken before its time');
