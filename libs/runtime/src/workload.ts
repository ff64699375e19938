import type { Clock } from '@longtail/core';
import type { Assignment } from './assignment.js';

/** Tasks remembered as answered, so that each late chunk of one does not get a receipt of its own. */
const ANSWERED_TASKS = 64;

const NONE: readonly Assignment[] = [];

/** What a member has in hand, one after the other in the order in which it was given, and what it had. */
export class Workload {
  private assignments = NONE;
  /** The last that it began. */
  private atWork: Assignment | undefined;
  /** When its last task ended, for a task's event to say how long it waited; −Infinity before that. */
  private idleSinceMs = -Infinity;
  /** The newest in the place of the oldest. */
  private readonly answered: number[] = [];
  private answers = 0;

  constructor(private readonly clock: Clock) {}

  /** Its part of an open task. */
  find(task: number): Assignment | undefined {
    for (const assignment of this.assignments) if (assignment.task.task === task) return assignment;
    return undefined;
  }

  /** It has a part in an open task. */
  get any(): boolean {
    return this.assignments.length > 0;
  }

  /** It has a task that it did not deliver. */
  get busy(): boolean {
    return this.assignments.some(({ status }) => status === 'out');
  }

  add(assignment: Assignment): void {
    this.assignments = this.assignments.length === 0 ? [assignment] : [...this.assignments, assignment];
    this.startNext();
  }

  /** One of them is computed, or ended. */
  startNext(): void {
    const next = this.firstUndone;
    if (next === undefined || next === this.atWork) return;
    const nowMs = this.clock.nowMs();
    next.start(nowMs, this.idleSinceMs === -Infinity ? 0 : nowMs - this.idleSinceMs);
    if (this.atWork !== undefined) this.atWork.followedAtMs = nowMs;
    this.atWork = next;
  }

  private get firstUndone(): Assignment | undefined {
    for (const assignment of this.assignments) if (assignment.status === 'out' && assignment.done === undefined) return assignment;
    return undefined;
  }

  idleFrom(ms: number): void {
    this.idleSinceMs = Math.max(ms, this.idleSinceMs);
  }

  /** What still comes of it is ignored. */
  close(task: number): void {
    this.assignments = without(this.assignments, task);
    this.startNext();
    this.remember(task);
  }

  /** All that it has is lost. */
  lose(reason: string): void {
    for (const open of this.assignments) open.end('lost', reason, this.clock.nowMs());
  }

  /** Whether a task that is not open is answered; from now on it is. */
  answer(task: number): boolean {
    if (this.answered.includes(task)) return true;
    this.remember(task);
    return false;
  }

  private remember(task: number): void {
    this.answered[this.answers++ % ANSWERED_TASKS] = task;
  }
}

function without(assignments: readonly Assignment[], closed: number): readonly Assignment[] {
  const isOnly = assignments.length === 1 && assignments[0]!.task.task === closed;
  return isOnly ? NONE : assignments.filter(({ task: { task } }) => task !== closed);
}
