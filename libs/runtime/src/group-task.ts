import type { Lease, TaskState } from '@longtail/core';
import type { Task, TaskDone } from '@longtail/protocol';
import type { Assignment, AssignmentStatus } from './assignment.js';
import type { Group } from './group.js';
import type { Passes } from './passes.js';
import { expectedMs } from './speed.js';

/** A worker that sends nothing of what it owes for this long is not waited for, where nothing else says how long it may take. */
export const SILENCE_MS = 60_000;

/** A task in the hands of a group: each member has a part of it, under the same number. It stands and falls as a whole. */
export class GroupTask implements TaskState {
  /** Its local steps are to end with the one under way. */
  recalled = false;
  /** Of a solo worker its only part. Asked for all the time, of thousands: a list in between would come from far. */
  private readonly first: Assignment;
  private readonly isAlone: boolean;

  constructor(
    readonly group: Group,
    /** In the order of the group's members. */
    readonly parts: readonly Assignment[],
    readonly leases: readonly Lease[],
    /** Of its leases. */
    readonly samples: number,
    /** Undefined where nothing passes between workers. */
    readonly passes?: Passes,
  ) {
    this.first = parts[0]!;
    this.isAlone = parts.length === 1;
  }

  /** Of the first member; number, version, ranges and steps are those of all. */
  get task(): Task {
    return this.first.task;
  }

  get round(): number {
    return this.task.round;
  }

  get baseVersion(): number {
    return this.task.version;
  }

  /** By the pace of its group as it is now; a stream brings each fragment home that a task of it has, as a rule one. */
  get expectedMs(): number | undefined {
    const { group, samples, task } = this;
    return expectedMs(group.speed, samples, task.kind === 'STREAM' ? task.parts.length : 1);
  }

  get deliveredAtMs(): number | undefined {
    return this.status === 'delivered' ? this.endedAtMs : undefined;
  }

  /** Of a solo worker. */
  get delivery() {
    return this.first.delivery;
  }

  /** Of a solo worker. */
  get doneAtMs(): number | undefined {
    return this.first.doneAtMs;
  }

  /** Leases, from the first, that what was done is of. */
  get leasesDone(): number {
    let left = this.done!.samples;
    let whole = 0;
    for (const { samples } of this.leases) {
      if ((left -= samples) < 0) break;
      whole++;
    }
    return whole;
  }

  get startedAtMs(): number {
    return this.first.startedAtMs;
  }

  /** What a stream is sent it does not wait for: its tasks are all alike. */
  get receives(): boolean {
    return this.task.kind === 'STREAM' || this.parts.some(({ receives }) => receives);
  }

  /** `delivered` when all parts are; what befalls one part befalls the task. */
  get status(): AssignmentStatus {
    if (this.isAlone) return this.first.status;
    const { broken } = this;
    if (broken !== undefined) return broken.status;
    return this.parts.every(({ status }) => status === 'delivered') ? 'delivered' : 'out';
  }

  /** The part that spoiled it, the earliest one. */
  get broken(): Assignment | undefined {
    let first: Assignment | undefined;
    for (const part of this.parts) {
      if (part.status === 'out' || part.status === 'delivered') continue;
      if (first === undefined || part.endedAtMs! < first.endedAtMs!) first = part;
    }
    return first;
  }

  /** Nothing comes of it: it ended otherwise than delivered, or was to take steps and took none. */
  get isWorthless(): boolean {
    const { status } = this;
    return status === 'delivered' ? this.first.idle : status !== 'out';
  }

  /** Why it is refused, failed or lost. */
  get reason(): string {
    const { broken } = this;
    if (broken === undefined) return '';
    const { group } = this;
    return group.solo
      ? broken.reason
      : `${broken.member.name}, stage ${group.stagesOf(broken.member).join(' and ')} of ${group.id}: ${broken.reason}`;
  }

  get nonFinite(): boolean {
    return this.broken?.nonFinite ?? false;
  }

  /** The last stage knows the loss, each replica that of its share; the slowest worker says how long it took. */
  get done(): TaskDone | undefined {
    if (this.isAlone) return this.first.done;
    const last = this.lastStage.map(({ done }) => done);
    if (!last.every((done) => done !== undefined)) return undefined;
    const sum = (key: 'samples' | 'targets' | 'lossSum' | 'correct') => last.reduce((total, done) => total + done[key], 0);
    const sums = { targets: sum('targets'), lossSum: sum('lossSum'), correct: sum('correct') };
    // Of local steps each says the samples of all.
    if (this.task.kind === 'DELTA') return { ...last[0]!, ...sums, computeMs: this.steppingMs };
    const computeMs = Math.max(...this.parts.map(({ done }) => done?.computeMs ?? 0));
    return { ...last[0]!, ...sums, samples: sum('samples'), computeMs };
  }

  /** How long the group was at its local steps: from when the last of its workers began until the last was done. */
  private get steppingMs(): number {
    const done = this.parts.filter((part) => part.done !== undefined);
    const began = done.map(({ doneAtMs, done }) => doneAtMs! - done!.elapsedMs);
    return Math.max(...done.map(({ doneAtMs }) => doneAtMs!)) - Math.max(...began);
  }

  private get lastStage(): readonly Assignment[] {
    const holders = this.group.stages.at(-1)!;
    return this.parts.filter(({ member }) => holders.includes(member));
  }

  /** When the status left `out`. */
  get endedAtMs(): number | undefined {
    if (this.isAlone) return this.first.endedAtMs;
    const { broken, status } = this;
    if (broken !== undefined) return broken.endedAtMs;
    return status === 'out' ? undefined : Math.max(...this.parts.map(({ endedAtMs }) => endedAtMs!));
  }

  /** All that compute say that they are done: what is missing is on its way, or lost. */
  get computed(): boolean {
    return this.parts.every(({ done }) => done !== undefined);
  }

  /** How long that took, 0 before it has all that it needs to begin; undefined: it is at it. */
  get computedMs(): number | undefined {
    if (this.computed) return this.done?.computeMs;
    const waits = this.task.kind !== 'STREAM' && this.group.members.some(({ settled }) => !settled);
    return waits ? 0 : undefined;
  }

  /** When something of it came last. */
  get activeAtMs(): number {
    return Math.max(...this.parts.map(({ activeAtMs }) => activeAtMs));
  }
}
