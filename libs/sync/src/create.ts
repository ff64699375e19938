import { fragmentsOf, localStepsOf, type Job, type SyncStrategy } from '@longtail/core';
import { asp, ssp } from './asynchronous.js';
import { dynamicLocalSteps, measuredLocalSteps, measuredOverlappedSteps, overlappedSteps } from './local-steps.js';
import { bsp, diloco } from './rounds.js';
import { streamingDiloco } from './streaming.js';

/** The strategy that a job asks for; `auto` is none before it has chosen. */
export function createStrategy(sync: Job['sync']): SyncStrategy {
  const most = localStepsOf(sync);
  const rule = most === undefined ? undefined : most === 'auto' ? measuredLocalSteps() : dynamicLocalSteps(most);
  switch (sync.strategy) {
    case 'auto':
      throw new Error('sync: auto has not chosen yet');
    case 'bsp':
      return bsp(sync);
    case 'ssp':
      return ssp({ ...sync, staleness: sync.staleness ?? DEFAULT_STALENESS }, rule);
    case 'asp':
      return asp(sync, rule);
    case 'diloco':
    case 'sparse-diloco':
      return { ...diloco(sync, rule!), name: sync.strategy };
    case 'streaming-diloco': {
      const fragments = fragmentsOf(sync)!;
      return streamingDiloco(sync, fragments, most === 'auto' ? measuredOverlappedSteps() : overlappedSteps(most! / fragments));
    }
  }
}

const DEFAULT_STALENESS = 2;
