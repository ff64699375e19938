import type { RoundState, SyncStrategy } from '@longtail/core';

/** A turn of the server's loop takes no time in virtual time, but what wakes it may come an instant later. */
const SLACK_MS = 1;

/**
 * Watches a run's rounds: while anybody is at work, its strategy is asked again by the time it named, at which it gives up
 * whoever is late (DESIGN.md section 5, line 4).
 */
export class Punctuality {
  readonly late: string[] = [];
  private due: { readonly atMs: number; readonly tasks: ReadonlySet<string> } | undefined;

  watch(strategy: SyncStrategy): SyncStrategy {
    return {
      ...strategy,
      decide: (state, nowMs) => {
        const tasks = tasksOf(state);
        if (this.due !== undefined && nowMs > this.due.atMs + SLACK_MS && [...this.due.tasks].some((task) => tasks.has(task))) {
          this.late.push(`${strategy.name} was to be asked at ${this.due.atMs} and was at ${nowMs} (round ${state.round})`);
        }
        const decision = strategy.decide(state, nowMs);
        this.due = decision.wakeAtMs === undefined ? undefined : { atMs: decision.wakeAtMs, tasks };
        return decision;
      },
    };
  }
}

function tasksOf({ members }: RoundState): ReadonlySet<string> {
  return new Set(members.flatMap(({ node, task }) => (task === undefined || task.deliveredAtMs !== undefined ? [] : [`${node}/${task.round}/${task.startedAtMs}`])));
}
