import type { MemberState, TaskState } from '@longtail/core';
import type { Group } from './group.js';
import type { GroupTask } from './group-task.js';
import { expectedMs, type Speed } from './speed.js';

/** A group as it was described last. */
export interface Known {
  readonly state: MemberState;
  /** The oldest open task, and the pace that it was expected by. */
  readonly first: GroupTask | undefined;
  readonly speed: Speed;
}

/**
 * How a group stands, as a strategy sees it. Where each delivery is looked at most are as they were at the last look: they are not described anew.
 * `exchanges`: what each of its tasks exchanges, in multiples of what is as a rule.
 */
export function standingOf(group: Group, exchanges: (first: GroupTask) => number): MemberState {
  const { id: node, rounds, speed, tasks, known } = group;
  const first = tasks[0];
  const queued = Math.max(0, tasks.length - 1);
  if (known !== undefined && known.first === first && known.state.rounds === rounds && known.state.queued === queued && isStill(known, speed)) return known.state;
  const state = { node, rounds, task: first && standing(first, exchanges(first)), queued };
  group.known = { state, first, speed };
  return state;
}

function isStill({ state: { task }, first, speed }: Known, now: Speed): boolean {
  if (task === undefined || first === undefined) return true;
  return speed === now && task.startedAtMs === first.startedAtMs && task.recalled === first.recalled && task.deliveredAtMs === deliveredAtMs(first);
}

function standing(first: GroupTask, exchanges: number): TaskState {
  const { group, samples, startedAtMs, task, recalled } = first;
  return {
    round: task.round,
    samples,
    startedAtMs,
    expectedMs: expectedMs(group.speed, samples, exchanges),
    deliveredAtMs: deliveredAtMs(first),
    baseVersion: task.version,
    recalled,
  };
}

function deliveredAtMs({ status, endedAtMs }: GroupTask): number | undefined {
  return status === 'delivered' ? endedAtMs : undefined;
}
