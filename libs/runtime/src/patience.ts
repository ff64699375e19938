import { formatSeconds } from '@longtail/core';
import { SILENCE_MS, type GroupTask } from './group-task.js';

/** A first task, graphs and caches not there yet, takes no more than this multiple of what was measured. */
const FREEZE_FACTOR = 20;

/**
 * Until when something must come of a task, where nothing was measured that a deadline could be made of: who is done delivers,
 * and who has its parameters gets done. Undefined as long as these are on their way.
 */
export function patienceWith({ group, samples, activeAtMs, computed }: GroupTask): { readonly untilMs: number; readonly reason: string } | undefined {
  if (computed) return { untilMs: activeAtMs + SILENCE_MS, reason: `nothing came for ${SILENCE_MS / 1000} s after it was done` };
  const settledAtMs = group.members.map((member) => member.settledAtMs);
  if (!settledAtMs.every((ms) => ms !== undefined)) return undefined;
  const measuredMs = (1000 * samples) / group.measuredSamplesPerSecond;
  const patienceMs = Math.max(SILENCE_MS, FREEZE_FACTOR * measuredMs);
  const reason = `not done ${formatSeconds(patienceMs / 1000)} after it had all it needs: it measured ${formatSeconds(measuredMs / 1000)} for that`;
  return { untilMs: Math.max(activeAtMs, ...settledAtMs) + patienceMs, reason };
}
