import { uptime } from 'node:os';
import type { Clock, Timer } from '@longtail/core';

/** A gap between the two is no sleep below that: an uptime is told in hundredths of a second. Nor is it looked for more often. */
const SHORTEST_SLEEP_MS = 1000;
/** 24.8 days: of a longer timer the system makes one of a millisecond. */
const LONGEST_TIMER_MS = 2 ** 31 - 1;

/**
 * Milliseconds that a machine slept, of which its monotonic clock knows nothing: on Linux that stands still meanwhile, and its
 * uptime does not (clock_gettime(2), CLOCK_MONOTONIC and CLOCK_BOOTTIME). Other systems count sleep in.
 */
export class SleptTime {
  private readonly offsetMs: number;
  private lookedAtMs: number;
  /** As it was noticed last. */
  ms = 0;

  constructor(
    private readonly monotonicMs: () => number,
    private readonly uptimeMs: () => number,
  ) {
    this.lookedAtMs = monotonicMs();
    this.offsetMs = uptimeMs() - this.lookedAtMs;
  }

  notice(): void {
    const nowMs = this.monotonicMs();
    if (nowMs < this.lookedAtMs + SHORTEST_SLEEP_MS) return;
    this.lookedAtMs = nowMs;
    const slept = this.uptimeMs() - nowMs - this.offsetMs;
    if (slept > this.ms + SHORTEST_SLEEP_MS) this.ms = slept;
  }
}

const monotonicMs = (): number => performance.now();
const slept = new SleptTime(monotonicMs, process.platform === 'linux' ? () => 1000 * uptime() : monotonicMs);

class WallTimer implements Timer {
  private cancel: (() => void) | undefined;

  constructor(private readonly ring: () => void) {}

  set(ms: number): void {
    this.clear();
    this.cancel = after(ms, () => {
      this.cancel = undefined;
      slept.notice();
      this.ring();
    });
  }

  clear(): void {
    this.cancel?.();
    this.cancel = undefined;
  }
}

/** Milliseconds since the Unix epoch that never go backwards, whatever happens to the machine's clock. What it slept counts once a timer ends. */
export const wallClock: Clock = {
  nowMs: () => performance.timeOrigin + performance.now() + slept.ms,
  // Not `node:timers/promises`: what it rejects with has a stack, which costs more than the timer.
  sleep: (ms, signal) =>
    new Promise((resolve, reject) => {
      if (signal.aborted) return reject(signal.reason as Error);
      const aborted = (): void => {
        cancel();
        reject(signal.reason as Error);
      };
      const cancel = after(ms, () => {
        signal.removeEventListener('abort', aborted);
        slept.notice();
        resolve();
      });
      signal.addEventListener('abort', aborted, { once: true });
    }),
  timer: (ring) => new WallTimer(ring),
};

function after(ms: number, done: () => void): () => void {
  if (ms > LONGEST_TIMER_MS) {
    let cancel = after(LONGEST_TIMER_MS, () => {
      cancel = after(ms - LONGEST_TIMER_MS, done);
    });
    return () => cancel();
  }
  if (ms > 0) {
    const timer = setTimeout(done, ms);
    return () => clearTimeout(timer);
  }
  const turn = setImmediate(done);
  return () => clearImmediate(turn);
}
