import type { Lease } from '@longtail/core';
import type { Task, TaskDone } from '@longtail/protocol';
import type { Assignment, AssignmentStatus } from './assignment.js';
import type { Group } from './group.js';
import type { Member } from './member.js';

/** A task in the hands of a group: each member has a part of it, under the same number. It stands and falls as a whole. */
export class GroupTask {
  constructor(
    readonly group: Group,
    /** In the order of the stages. */
    readonly parts: readonly Assignment[],
    readonly leases: readonly Lease[],
  ) {}

  /** Of the first stage; number, version, ranges and steps are those of all. */
  get task(): Task {
    return this.parts[0]!.task;
  }

  /** The worker of a solo group, the first stage of a pipeline. */
  get member(): Member {
    return this.parts[0]!.member;
  }

  get delivery() {
    return this.parts[0]!.delivery;
  }

  get samples(): number {
    return this.leases.reduce((sum, lease) => sum + lease.samples, 0);
  }

  get sentAtMs(): number {
    return this.parts[0]!.sentAtMs;
  }

  /** `delivered` when all parts are; what befalls one part befalls the task. */
  get status(): AssignmentStatus {
    const { broken } = this;
    if (broken !== undefined) return broken.status;
    return this.parts.every(({ status }) => status === 'delivered') ? 'delivered' : 'out';
  }

  /** The part that spoiled it, the earliest one. */
  get broken(): Assignment | undefined {
    const broken = this.parts.filter(({ status }) => status !== 'out' && status !== 'delivered');
    return broken.sort((a, b) => a.endedAtMs! - b.endedAtMs!)[0];
  }

  /** Why it is refused, failed or lost. */
  get reason(): string {
    const { broken } = this;
    if (broken === undefined) return '';
    return this.group.solo ? broken.reason : `${broken.member.name}, stage ${broken.member.stage} of ${this.group.id}: ${broken.reason}`;
  }

  get nonFinite(): boolean {
    return this.broken?.nonFinite ?? false;
  }

  /** The last stage knows the loss; the slowest one says how long it took. */
  get done(): TaskDone | undefined {
    const last = this.parts.at(-1)!.done;
    if (last === undefined || this.group.solo) return last;
    return { ...last, computeMs: Math.max(...this.parts.map(({ done }) => done?.computeMs ?? 0)) };
  }

  get doneAtMs(): number | undefined {
    return this.parts.at(-1)!.doneAtMs;
  }

  /** When the status left `out`. */
  get endedAtMs(): number | undefined {
    const { broken, status } = this;
    if (broken !== undefined) return broken.endedAtMs;
    return status === 'out' ? undefined : Math.max(...this.parts.map(({ endedAtMs }) => endedAtMs!));
  }

  /** When something of it came last. */
  get activeAtMs(): number {
    return Math.max(...this.parts.map(({ activeAtMs }) => activeAtMs));
  }
}
