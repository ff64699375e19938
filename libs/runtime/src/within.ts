import { formatSeconds, LongtailError, type Clock } from '@longtail/core';

export interface Within {
  readonly clock: Clock;
  /** The caller's own reason to end it. */
  readonly signal: AbortSignal;
}

/** Work that has so much time: its signal aborts with LongtailError `timeout` when that is over, and with the caller's reason. */
export async function within<T>(ms: number, { clock, signal }: Within, work: (signal: AbortSignal) => Promise<T>): Promise<T> {
  signal.throwIfAborted();
  const [limit, done] = [new AbortController(), new AbortController()];
  const aborted = () => limit.abort(signal.reason);
  signal.addEventListener('abort', aborted, { once: true });
  clock.sleep(ms, done.signal).then(
    () => limit.abort(new LongtailError(`it took more than ${formatSeconds(ms / 1000)}`, { code: 'timeout' })),
    () => undefined, // it was done before
  );
  try {
    return await work(limit.signal);
  } finally {
    signal.removeEventListener('abort', aborted);
    done.abort(DONE);
  }
}

/** Given so that no DOMException with a stack is made. */
const DONE = new Error('done');
