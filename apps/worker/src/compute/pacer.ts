import type { Interrupts } from './interrupts.js';

/**
 * Makes a device as slow as `pace` (0 < pace ≤ 1) says, with the same arithmetic: work of t ms takes t / pace with the rest
 * behind it. The rest is taken after each slice of work, so that an abort need not wait for a long one.
 */
export class Pacer {
  constructor(
    readonly pace: number,
    private readonly interrupts: Pick<Interrupts, 'pause'>,
    private readonly nowMs: () => number = () => performance.now(),
  ) {}

  /** Does the work, then rests; resolves after both. Of the time that the work took, at most `deviceMs` counts as the device's, and is stretched. */
  async run<Result>(work: () => Promise<Result>, deviceMs = Infinity): Promise<Result> {
    const startMs = this.nowMs();
    const result = await work();
    const tookMs = this.nowMs() - startMs;
    this.rest(Math.min(tookMs, deviceMs) / this.pace - tookMs);
    return result;
  }

  /** Does the work, then rests until both have taken `ms`. */
  async last<Result>(ms: number, work: () => Promise<Result>): Promise<Result> {
    const startMs = this.nowMs();
    const result = await work();
    this.rest(startMs + ms - this.nowMs());
    return result;
  }

  private rest(ms: number): void {
    if (ms > 0) this.interrupts.pause(ms);
  }
}
