import { lowerMedian, type GroupState, type TaskState } from '@longtail/core';

export interface DeadlineOptions {
  /** A task may take this multiple of its expected time … */
  readonly deadlineFactor: number;
  /** … but never less than this. */
  readonly minDeadlineMs: number;
}

/** A group that is at work, or has delivered. */
export interface Busy extends GroupState {
  readonly task: TaskState;
}

/**
 * A member may stretch the expected time to this multiple of the others' (lower median). Beyond it the member is late in
 * every round, and whoever watches over the run releases it: where others wait for it they would all wait for its link.
 */
export const STRAGGLER_CAP = 4;

export function busy(members: readonly GroupState[]): readonly Busy[] {
  return those(members, isBusy);
}

function isBusy(member: GroupState): member is Busy {
  return member.task !== undefined;
}

/** Of whom it is so: most of the time all of them, or none. */
export function those<Member, Chosen extends Member>(members: readonly Member[], isOne: (member: Member) => member is Chosen): readonly Chosen[];
export function those<Member>(members: readonly Member[], isOne: (member: Member) => boolean): readonly Member[];
export function those<Member>(members: readonly Member[], isOne: (member: Member) => boolean): readonly Member[] {
  return members.every(isOne) ? members : members.filter(isOne);
}

export function isDelivered({ task }: Busy): boolean {
  return task.deliveredAtMs !== undefined;
}

export function isMissing({ task }: Busy): boolean {
  return task.deliveredAtMs === undefined;
}

export function spanMs({ deadlineFactor, minDeadlineMs }: DeadlineOptions, basisMs: number): number {
  return Math.max(minDeadlineMs, deadlineFactor * basisMs);
}

/** Of the slowest, within the cap; undefined before anything was measured. */
export function expectedTime(members: readonly Busy[]): number | undefined {
  const known = knownOf(members, ({ expectedMs }) => expectedMs);
  if (known.length === 0) return undefined;
  let longest = -Infinity;
  for (const ms of known) longest = Math.max(longest, ms);
  return Math.min(longest, STRAGGLER_CAP * lowerMedian(known));
}

/** Lower median; undefined before anything was measured. */
export function usualTime(members: readonly Busy[]): number | undefined {
  const known = knownOf(members, ({ expectedMs }) => expectedMs);
  return known.length === 0 ? undefined : lowerMedian(known);
}

/** What is known of the members' tasks. */
export function knownOf(members: readonly Busy[], of: (task: TaskState) => number | undefined): Float64Array {
  const known = new Float64Array(members.length);
  let count = 0;
  for (const { task } of members) {
    const value = of(task);
    if (value !== undefined) known[count++] = value;
  }
  return count < known.length ? known.subarray(0, count) : known;
}
