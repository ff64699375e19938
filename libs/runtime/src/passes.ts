import { LongtailError, type Action, type Schedule, type StageTiming } from '@longtail/core';
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
  const schedule = scheduleOf(core, group);
  const microbatches = Math.ceil(samples / microbatch);
  return { microbatch, actionsOf: ({ stage }) => schedule.actions(stage, timings, microbatches).map((action) => ownStage(action, stage)) };
}

/** Most microbatches that a stage of the group holds at once when the group has the whole batch. Asked before anything was measured. */
export function stashCapOf(core: RunCore, group: Group, stage: number): number {
  const { microbatch, timings = group.members.map(() => EQUAL) } = group.plan;
  return scheduleOf(core, group).stashCap(stage, timings, Math.ceil(core.job.train.batch / microbatch));
}

function scheduleOf({ dependencies }: RunCore, { plan }: Group): Schedule {
  const schedule = dependencies.schedule?.(plan.schedule);
  if (schedule !== undefined) return schedule;
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

/** A worker holds one range of blocks: a schedule that gives it several stages is for other workers. */
function ownStage(action: Action, stage: number): Action {
  if (action.stage === stage) return action;
  throw new LongtailError(`the schedule lets the worker of stage ${stage} do stage ${action.stage} as well`, { code: 'usage', where: 'cluster.schedule' });
}
