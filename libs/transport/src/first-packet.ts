import type { Readable } from 'node:stream';
import { LongtailError } from '@longtail/core';

/**
 * The packet that opens a session; the rest stays in the stream. Rejects with the stream's error, with `timeout` after `ms`,
 * with the signal's reason, or with `unreachable` when the stream ends before.
 */
export function firstPacket(stream: Readable, ms: number, peer: string, signal: AbortSignal): Promise<unknown> {
  return new Promise((resolve, reject) => {
    const settle = (finish: () => void) => (): void => {
      clearTimeout(timer);
      stream.pause();
      for (const [event, listener] of listeners) stream.off(event, listener);
      signal.removeEventListener('abort', aborted);
      finish();
    };
    const fail = (error: unknown): void => settle(() => reject(error as Error))();
    const ended = (): void => fail(new LongtailError(`${peer} ended the session before it began`, { code: 'unreachable', where: peer }));
    const aborted = (): void => fail(signal.reason);
    const listeners: [string, (value: unknown) => void][] = [
      ['data', (packet) => settle(() => resolve(packet))()],
      ['error', fail],
      ['end', ended],
      ['cancelled', ended],
    ];
    const timer = setTimeout(() => fail(new LongtailError(`${peer} said nothing for ${ms / 1000} s`, { code: 'timeout', where: peer })), ms);
    signal.addEventListener('abort', aborted, { once: true });
    for (const [event, listener] of listeners) stream.on(event, listener);
    if (signal.aborted) aborted();
    else stream.resume();
  });
}
