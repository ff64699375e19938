import { LongtailError, type Schedule, type StageTiming } from '@longtail/core';
import type { Task } from '@longtail/protocol';
import type { Group } from './group.js';
import type { Member } from './member.js';
import type { RunCore } from './run-core.js';

/** Of a backward pass twice as long as the forward pass: what nobody measured. */
const FORWARD_FRACTION = 1 / 3;
const INPUT_GRADIENT_FRACTION = 1 / 3;

/** What the stages of a group do for a task of `samples`: nothing of the kind for a solo worker. */
export interface Passes {
  readonly microbatch: number;
  actionsOf(member: Member): Task['actions'];
}

/** @throws LongtailError `usage` when this server does not have the schedule */
export function passesOf(core: RunCore, group: Group, samples: number): Passes {
  if (group.solo) return { microbatch: 0, actionsOf: () => [] };
  const { microbatch, timings = measuredTimings(group) } = group.plan;
  // The workers made room for these many, whatever was measured since.
  const caps = group.members.map(({ stage }) => stashCapOf(core, group, stage));
  const schedule = scheduleOf(core, group, caps);
  const microbatches = Math.ceil(samples / microbatch);
  return { microbatch, actionsOf: ({ stage }) => schedule.actions(stage, timings, microbatches) };
}

/** Most microbatches that a stage of the group holds at once: those planned with, else what the whole batch takes. Asked before anything was measured. */
export function stashCapOf(core: RunCore, group: Group, stage: number): number {
  const { microbatch, timings = group.members.map(() => EQUAL), maxStash } = group.plan;
  const needed = scheduleOf(core, group, maxStash).stashCap(stage, timings, Math.ceil(core.job.train.batch / microbatch));
  return Math.max(needed, maxStash?.[stage] ?? 0);
}

function scheduleOf({ dependencies }: RunCore, { plan }: Group, maxStash?: readonly number[]): Schedule {
  const schedule = dependencies.schedule?.(plan.schedule, maxStash);
  // A worker holds one range of blocks: a schedule of several stages a worker is for others.
  if (schedule?.chunks === 1) return schedule;
  throw new LongtailError(`this server has no schedule ${plan.schedule} for pipelines`, { code: 'usage', where: 'cluster.schedule' });
}

const EQUAL: StageTiming = { forwardMs: 1, backwardMs: 2, inputGradientMs: 1, activationHopMs: 0, gradientHopMs: 0 };

/** What the stages said when they were ready: samples a second, forward and backward together. */
function measuredTimings({ members, plan }: Group): readonly StageTiming[] {
  return members.map(({ ready }) => {
    const wholeMs = (1000 * plan.microbatch) / ready!.samplesPerSecond;
    return {
      forwardMs: FORWARD_FRACTION * wholeMs,
      backwardMs: (1 - FORWARD_FRACTION) * wholeMs,
      inputGradientMs: INPUT_GRADIENT_FRACTION * wholeMs,
      activationHopMs: 0,
      gradientHopMs: 0,
    };
  });
}
