import { formatSeconds } from '@longtail/core';
import { SILENCE_MS, type GroupTask } from './group-task.js';

/** A first task, graphs and caches not there yet, takes no more than this multiple of what was measured. */
const FREEZE_FACTOR = 20;

interface SilentTask {
  readonly task: GroupTask;
  readonly reason: string;
}

/**
 * Of tasks where nothing was measured that a deadline could be made of: those that nothing will come of, and when to look again. In a first
 * round there is no deadline yet, but who is done delivers, and who has its parameters gets done.
 */
export function silentAmong(tasks: Iterable<GroupTask>, nowMs: number): { readonly silent: readonly SilentTask[]; readonly nextMs: number } {
  const silent: SilentTask[] = [];
  // What comes meanwhile gives it at least as much time.
  let nextMs = nowMs + SILENCE_MS;
  for (const task of tasks) {
    const limit = task.status === 'out' ? patienceWith(task) : undefined;
    if (limit === undefined) continue;
    nextMs = Math.min(nextMs, limit.untilMs);
    if (nowMs >= limit.untilMs) silent.push({ task, reason: limit.reason });
  }
  return { silent, nextMs };
}

/** Until when something must come of a task. Undefined as long as its parameters are on their way. */
function patienceWith({ group, task, samples, activeAtMs, computed }: GroupTask): { readonly untilMs: number; readonly reason: string } | undefined {
  if (computed) return { untilMs: activeAtMs + SILENCE_MS, reason: `nothing came for ${SILENCE_MS / 1000} s after it was done` };
  const settledAtMs = group.members.map((member) => member.settledAtMs);
  if (!settledAtMs.every((ms) => ms !== undefined)) return undefined;
  // Of an evaluation nothing is leased.
  const measuredMs = (1000 * (samples || task.end - task.start)) / group.measuredSamplesPerSecond;
  const patienceMs = Math.max(SILENCE_MS, FREEZE_FACTOR * measuredMs);
  const reason = `not done ${formatSeconds(patienceMs / 1000)} after it had all it needs: it measured ${formatSeconds(measuredMs / 1000)} for that`;
  return { untilMs: Math.max(activeAtMs, ...settledAtMs) + patienceMs, reason };
}
