import type { Clock, Timer } from '@longtail/core';
import type { Sleeper, VirtualClock } from './virtual-clock.js';

/** The clock of one process: it may jump ahead of the others', and stands still with the process. */
export class ProcessClock implements Clock, Sleeper {
  private aheadMs = 0;
  /** Whoever sleeps does not wake before that. */
  frozenUntilMs = 0;

  constructor(private readonly time: VirtualClock) {}

  nowMs(): number {
    return this.time.nowMs() + this.aheadMs;
  }

  jump(byMs: number): void {
    this.aheadMs += byMs;
  }

  freeze(forMs: number): void {
    this.frozenUntilMs = Math.max(this.frozenUntilMs, this.time.nowMs() + forMs);
  }

  /** Timers do not follow a jump. */
  sleep(ms: number, signal: AbortSignal): Promise<void> {
    return this.time.sleep(ms, signal, this);
  }

  timer(ring: () => void): Timer {
    return this.time.timer(ring, this);
  }
}
