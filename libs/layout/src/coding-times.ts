import type { SyncFleet } from '@longtail/core';
import { measureCoding } from '@longtail/kernels';

let measured: SyncFleet['coding'];

/** What coding takes this machine, measured when it is first asked for; its workers are taken to be as fast. */
export function codingTimes(): SyncFleet['coding'] {
  return (measured ??= measureCoding(() => performance.now()));
}
