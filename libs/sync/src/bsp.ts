import type { Decision, MemberState, RoundState, SyncStrategy } from '@longtail/core';

export interface BspOptions {
  /** A round may take this multiple of its expected time … */
  readonly deadlineFactor: number;
  /** … but never less than this. */
  readonly minDeadlineMs: number;
}

/**
 * A member may stretch the round's expected time to this multiple of the others' (lower median). Beyond it the member is
 * late in every round, and whoever watches over the run releases it: under BSP all would wait for its link.
 */
const STRAGGLER_CAP = 4;

/** With nothing delivered nobody is being held up; after this multiple of the deadline the whole round is given up. */
const SILENCE_FACTOR = 10;

/**
 * Bulk synchronous parallel training (Valiant 1990) with a deadline: a round commits when every contribution is there,
 * or at the deadline with those that are (the backup workers of Chen et al. 2016, "Revisiting distributed synchronous SGD",
 * with a time instead of a count). Contributions go in the order of the members, each at weight 1.
 *
 * The expected time is the slowest member's, corrected upwards when even the fastest took longer: then the estimate was
 * wrong for all, and punishing everybody would only lose work.
 */
export function bsp(options: BspOptions): SyncStrategy {
  return { name: 'bsp', decide: (round, nowMs) => decide(options, round, nowMs) };
}

function decide(options: BspOptions, round: RoundState, nowMs: number): Decision {
  const delivered = round.members.filter((member) => member.deliveredAtMs !== undefined);
  const missing = round.members.filter((member) => member.deliveredAtMs === undefined);
  if (missing.length === 0) return commitOf(delivered, [], `all ${delivered.length} delivered`);

  const deadlineMs = deadlineOf(options, round, delivered);
  if (deadlineMs === undefined || nowMs < deadlineMs) {
    const names = missing.map((member) => member.node).join(', ');
    return { commit: [], release: [], wakeAtMs: deadlineMs, reason: `waiting for ${names}` };
  }
  const tookMs = Math.round(deadlineMs - round.openedAtMs);
  const release = missing.map(({ node }) => ({ node, reason: `missed the deadline of ${tookMs} ms of round ${round.round}` }));
  return commitOf(delivered, release, `deadline of ${tookMs} ms: ${delivered.length} of ${round.members.length} delivered`);
}

function commitOf(delivered: readonly MemberState[], release: Decision['release'], reason: string): Decision {
  return { commit: delivered.map(({ node }) => ({ node, weight: 1 })), release, wakeAtMs: undefined, reason };
}

/** Undefined while nothing is known that a deadline could be made of: the first round, before the first delivery. */
function deadlineOf(options: BspOptions, round: RoundState, delivered: readonly MemberState[]): number | undefined {
  const expectedMs = expectedTime(round.members);
  const span = (basisMs: number) => Math.max(options.minDeadlineMs, options.deadlineFactor * basisMs);
  if (delivered.length > 0) {
    const fastestMs = Math.min(...delivered.map((member) => member.deliveredAtMs! - member.startedAtMs));
    return round.openedAtMs + span(Math.max(expectedMs ?? 0, fastestMs));
  }
  const measured = round.members.every((member) => member.expectedMs !== undefined);
  return measured && expectedMs !== undefined ? round.openedAtMs + SILENCE_FACTOR * span(expectedMs) : undefined;
}

function expectedTime(members: readonly MemberState[]): number | undefined {
  const known = members.flatMap(({ expectedMs }) => (expectedMs === undefined ? [] : [expectedMs])).sort((a, b) => a - b);
  const median = known[(known.length - 1) >> 1];
  return median === undefined ? undefined : Math.min(known.at(-1)!, STRAGGLER_CAP * median);
}
