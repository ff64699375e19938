import type { MemberState, TaskState } from '@longtail/core';
import type { Group } from './group.js';
import type { GroupTask } from './group-task.js';
import { expectedMs, type Speed } from './speed.js';

interface Known {
  readonly state: MemberState;
  /** The oldest open task, and the pace that it was expected by. */
  readonly first: GroupTask | undefined;
  readonly speed: Speed;
}

/** How groups stand, as a strategy sees them. Where each delivery is looked at most are as they were at the last look: they are not described anew. */
export class Standings {
  /** Weak, as groups go when nodes come and go. */
  private readonly known = new WeakMap<Group, Known>();

  /** `open`: the group's tasks, the oldest first. `exchanges`: what each of them exchanges, in multiples of what is as a rule. */
  of(group: Group, open: readonly GroupTask[], exchanges: (first: GroupTask) => number): MemberState {
    const { id: node, rounds, speed } = group;
    const first = open[0];
    const queued = Math.max(0, open.length - 1);
    const known = this.known.get(group);
    if (known !== undefined && known.first === first && known.state.rounds === rounds && known.state.queued === queued && isStill(known, speed)) return known.state;
    const state = { node, rounds, task: first && standing(first, exchanges(first)), queued };
    this.known.set(group, { state, first, speed });
    return state;
  }
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
