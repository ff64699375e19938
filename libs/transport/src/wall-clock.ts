import type { Clock } from '@longtail/core';

/** Milliseconds since the Unix epoch that never go backwards, whatever happens to the machine's clock. */
export const wallClock: Clock = {
  nowMs: () => performance.timeOrigin + performance.now(),
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
        resolve();
      });
      signal.addEventListener('abort', aborted, { once: true });
    }),
};

function after(ms: number, done: () => void): () => void {
  if (ms > 0) {
    const timer = setTimeout(done, ms);
    return () => clearTimeout(timer);
  }
  const turn = setImmediate(done);
  return () => clearImmediate(turn);
}
