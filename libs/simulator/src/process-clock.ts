import type { Clock } from '@longtail/core';
import type { VirtualClock } from './virtual-clock.js';

/** The clock of one process: it may jump ahead of the others', and stands still with the process. */
export class ProcessClock implements Clock {
  private aheadMs = 0;
  private frozenUntilMs = 0;

  constructor(private readonly time: VirtualClock) {}

  nowMs(): number {
    return this.time.nowMs() + this.aheadMs;
  }

  jump(byMs: number): void {
    this.aheadMs += byMs;
  }

  /** Whoever sleeps does not wake before that. */
  freeze(forMs: number): void {
    this.frozenUntilMs = Math.max(this.frozenUntilMs, this.time.nowMs() + forMs);
  }

  /** Timers do not follow a jump. */
  async sleep(ms: number, signal: AbortSignal): Promise<void> {
    await this.time.sleep(ms, signal);
    while (this.time.nowMs() < this.frozenUntilMs) await this.time.sleep(this.frozenUntilMs - this.time.nowMs(), signal);
  }
}
