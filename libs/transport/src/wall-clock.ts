import { setImmediate, setTimeout } from 'node:timers/promises';
import type { Clock } from '@longtail/core';

/** Milliseconds since the Unix epoch that never go backwards, whatever happens to the machine's clock. */
export const wallClock: Clock = {
  nowMs: () => performance.timeOrigin + performance.now(),
  sleep: async (ms, signal) => {
    try {
      if (ms > 0) await setTimeout(ms, undefined, { signal });
      else await setImmediate(undefined, { signal });
    } catch (error) {
      // Node rejects with an AbortError of its own.
      signal.throwIfAborted();
      throw error;
    }
  },
};
