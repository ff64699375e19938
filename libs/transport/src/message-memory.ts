import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';

/** What may have been received since the last minor collection: about what four home links bring in a third of a second. */
const BYTES_A_COLLECTION = 8 * 1024 * 1024;

let bytesSinceCollection = 0;
let collectYoung: (() => void) | undefined;

/**
 * To be called before the payload of a message is worked on. V8 counts messages as memory outside its heap, and when there is much of it
 * collects the whole heap: every 20 to 30 MB, for 20 to 60 ms, and what a home link has queued does not last so long. Nearly all messages
 * die young, so that a minor collection, 2 to 5 ms, frees them.
 */
export function messageArrived(bytes: number): void {
  bytesSinceCollection += bytes;
  if (bytesSinceCollection < BYTES_A_COLLECTION) return;
  bytesSinceCollection = 0;
  collectYoung ??= exposeMinorCollection();
  collectYoung();
}

function exposeMinorCollection(): () => void {
  setFlagsFromString('--expose-gc');
  const collect = runInNewContext('gc') as (options: { type: 'minor' }) => void;
  setFlagsFromString('--no-expose-gc');
  return () => collect({ type: 'minor' });
}
