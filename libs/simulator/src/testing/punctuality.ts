import type { RoundState, StoredEvent, SyncStrategy } from '@longtail/core';

/** A turn of the server's loop takes no time in virtual time, but what wakes it may come an instant later. */
const SLACK_MS = 1;

/**
 * Watches a run's rounds: while anybody is at work, its strategy is asked again by the time it named, at which it gives up
 * whoever is late, and what it decides to commit is committed then (DESIGN.md section 5, line 4).
 */
export class Punctuality {
  readonly late: string[] = [];
  private readonly decidedAtMs: number[] = [];
  /** By tasks that were out when it was asked about them. */
  private readonly due = new Map<string, number>();

  watch(strategy: SyncStrategy): SyncStrategy {
    return {
      ...strategy,
      decide: (state, nowMs) => {
        const tasks = tasksOf(state);
        for (const task of tasks) {
          const dueMs = this.due.get(task) ?? Infinity;
          if (nowMs > dueMs + SLACK_MS) this.late.push(`${strategy.name} was to be asked about ${task} at ${dueMs} and was at ${nowMs} (round ${state.round})`);
        }
        const decision = strategy.decide(state, nowMs);
        if (decision.commit.length > 0) this.decidedAtMs.push(nowMs);
        for (const task of tasks) this.due.set(task, decision.wakeAtMs ?? Infinity);
        return decision;
      },
    };
  }

  /** Commits of rounds that came later than they were decided. */
  delayed(events: readonly StoredEvent[]): readonly string[] {
    return events.flatMap(({ timeMs, body }) => {
      if (body.event !== 'commit' || body.samples === 0 || body.reason.endsWith('the only worker')) return [];
      const decided = this.decidedAtMs.some((atMs) => timeMs >= atMs && timeMs <= atMs + SLACK_MS);
      return decided ? [] : [`version ${body.version} was committed at ${timeMs}, when nobody had decided that: ${body.reason}`];
    });
  }
}

function tasksOf({ members }: RoundState): readonly string[] {
  return members.flatMap(({ node, task }) => (task === undefined || task.deliveredAtMs !== undefined ? [] : [`${node}/${task.round}/${task.startedAtMs}`]));
}
