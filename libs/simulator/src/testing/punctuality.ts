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
        if (decision.commit.length > 0) this.decidedAtMs.push(nowMs);
        this.due = decision.wakeAtMs === undefined ? undefined : { atMs: decision.wakeAtMs, tasks };
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

function tasksOf({ members }: RoundState): ReadonlySet<string> {
  return new Set(members.flatMap(({ node, task }) => (task === undefined || task.deliveredAtMs !== undefined ? [] : [`${node}/${task.round}/${task.startedAtMs}`])));
}
