import type { Clock } from '@longtail/core';

/** A clock whose timers are sleeps. */
export function clockOf({ nowMs, sleep }: Omit<Clock, 'timer'>): Clock {
  return {
    nowMs,
    sleep,
    timer(ring) {
      let sleeping: AbortController | undefined;
      const clear = () => sleeping?.abort(new Error('called off'));
      const set = (ms: number) => {
        clear();
        const { signal } = (sleeping = new AbortController());
        void sleep(ms, signal).then(() => signal.aborted || ring(), () => undefined);
      };
      return { set, clear };
    },
  };
}
