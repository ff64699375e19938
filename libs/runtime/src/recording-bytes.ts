import { localStepsOf, optimizerStateCount, stepBatchOf, type Codec } from '@longtail/core';
import type { Grid } from './grid.js';
import type { Group } from './group.js';
import { paceSteps } from './hand-out.js';
import type { RunCore } from './run-core.js';
import { grantsOf, stepsAlone } from './solo.js';

/** What is written beside the bytes of a contribution's chunk. */
const HEAD_BYTES = 128;

/** About what the contributions of the rest of the run take: by the groups that there are, their paces, and what codecs take at most. */
export function recordingBytes(core: RunCore): number {
  const { job, groups } = core;
  if (groups.length === 0) return 0; // they have left while the first one drew parameters
  const { total, applied, lost } = core.training!.leases.totals();
  const samples = total - applied - lost;
  if (groups.length === 1 && groups[0]!.solo && stepsAlone(job)) return grantsOf(groups[0]!, samples) * wholeBytes(core);
  const rounds = samples / samplesARound(core);
  // Before each validation the data of a round may end early, and streams bring home what they owe.
  const validations = samples / (job.validation.everyEpochs * core.training!.samplesPerEpoch);
  return Math.ceil(rounds / (core.fragments ?? 1) + validations) * groups.reduce((sum, group) => sum + exchangeBytes(core, group), 0);
}

/** Where fragments are exchanged in turn, a round is the exchange of one. */
function samplesARound(core: RunCore): number {
  const batch = stepBatchOf(core.job);
  const rule = core.dependencies.strategy(core.job).localSteps;
  return rule === undefined ? batch : batch * [...paceSteps(core, rule).steps.values()].reduce((sum, steps) => sum + steps, 0);
}

/** All that a group brings home once. What its workers move alike comes once, gradients come from each. */
function exchangeBytes({ segments, codec, job }: RunCore, { members }: Group): number {
  const sent = localStepsOf(job.sync) !== undefined ? segments : members.flatMap((member) => member.segments.map(({ segment }) => segment));
  return sent.reduce((sum, { grid }) => sum + codedBytes(codec, grid), 0);
}

/** Parameters and moments, as a lone worker brings them home. */
function wholeBytes(core: RunCore): number {
  const { grid } = core.training!;
  return (1 + optimizerStateCount(core.job.train.optimizer)) * codedBytes(core.codecNamed('fp32'), grid);
}

function codedBytes(codec: Codec, { length, chunkLength, chunks }: Grid): number {
  const last = length - (chunks - 1) * chunkLength;
  return (chunks - 1) * codec.maxBytes(chunkLength) + codec.maxBytes(last) + chunks * HEAD_BYTES;
}
