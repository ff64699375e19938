import { fragmentsOf, localStepRuleOf, type Job, type SyncStrategy } from '@longtail/core';
import { asp, ssp } from './asynchronous.js';
import { bsp, diloco } from './rounds.js';
import { streamingDiloco } from './streaming.js';

/** The strategy that a job asks for; `auto` is none before it has chosen. */
export function createStrategy(sync: Job['sync']): SyncStrategy {
  const rule = localStepRuleOf(sync);
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
    case 'streaming-diloco':
      return streamingDiloco(sync, fragmentsOf(sync)!, rule!);
  }
}

const DEFAULT_STALENESS = 2;
