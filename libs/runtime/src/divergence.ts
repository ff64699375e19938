import { LongtailError } from '@longtail/core';
import type { RunCore } from './run-core.js';

export function divergence(core: RunCore, who: string): LongtailError {
  return new LongtailError(`the loss or gradient of ${who} is not finite at version ${core.version}`, {
    code: 'diverged',
    where: `run ${core.run}`,
    hint: `Lower train.learningRate (now ${core.job.train.learningRate}), add warm-up, or set train.clipNorm; check the data for NaN.`,
  });
}
