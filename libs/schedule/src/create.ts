import type { Schedule, ScheduleName } from '@longtail/core';
import { cappedOneForwardOneBackward } from './capped.js';
import { gpipe } from './gpipe.js';
import { interleaved } from './interleaved.js';
import { oneForwardOneBackward } from './one-forward-one-backward.js';
import type { StashLimit } from './stash.js';
import { zeroBubble } from './zero-bubble.js';

export interface ScheduleOptions {
  /** Stages a worker, for `interleaved`. @default 2 */
  readonly chunks?: number;
  /** Kept by `1f1b`, `capped-1f1b` and `zero-bubble`; the others need what their `stashCap` says. */
  readonly maxStash?: StashLimit;
  /** For `capped-1f1b`. @default false */
  readonly splitBackward?: boolean;
}

/** The schedule that a plan names. */
export function createSchedule(name: ScheduleName, { chunks = 2, maxStash, splitBackward }: ScheduleOptions = {}): Schedule {
  switch (name) {
    case 'gpipe':
      return gpipe();
    case '1f1b':
      return oneForwardOneBackward({ maxStash });
    case 'capped-1f1b':
      return cappedOneForwardOneBackward({ maxStash, splitBackward });
    case 'interleaved':
      return interleaved({ chunks });
    case 'zero-bubble':
      return zeroBubble({ maxStash });
  }
}
