import type { LocalStepRule, GroupState, SyncStrategy } from '@longtail/core';
import { busy } from './deadline.js';
import { diloco, type RoundsOptions } from './rounds.js';

/** One is worked on while what the one before it brings home travels, and one is there for when that takes longer. */
const TASKS_A_GROUP = 3;

/**
 * DiLoCo whose parameters are exchanged in `fragments`, one a round, while the groups step on (Streaming DiLoCo, Douillard et
 * al. 2025, arXiv 2501.18512). A round is decided like one of `diloco`, the oldest that is open first; who is ahead is not waited
 * for, and lends the others no hurry: a round's time begins when the last of its groups begins it.
 */
export function streamingDiloco(options: RoundsOptions, fragments: number, localSteps: LocalStepRule): SyncStrategy {
  const rounds = diloco(options, localSteps);
  // A move of a fragment waits for the receipt of the one before it.
  const mostTasks = Math.min(TASKS_A_GROUP, fragments + 1);
  return {
    name: 'streaming-diloco',
    localSteps,
    fragments,
    decide(state, nowMs) {
      const round = Math.min(...busy(state.members).map(({ task }) => task.round));
      const inRound = busy(state.members.filter(({ task }) => task?.round === round));
      const startedAtMs = Math.max(...inRound.map(({ task }) => task.startedAtMs));
      const members = state.members.map((member) => inRoundOnly(member, round, startedAtMs));
      const decision = rounds.decide({ ...state, round, members }, nowMs);
      const proceed = state.members.filter(({ task, queued }) => task === undefined || queued + 1 < mostTasks).map(({ node }) => node);
      return { ...decision, reason: decision.reason, proceed };
    },
  };
}

/** What a member has in hand of a round, as if it had begun when the last one did. */
function inRoundOnly({ node, rounds, queued, task }: GroupState, round: number, startedAtMs: number): GroupState {
  if (task?.round !== round) return { node, rounds, queued, task: undefined };
  const { samples, receives, expectedMs, deliveredAtMs, baseVersion, recalled } = task;
  return { node, rounds, queued, task: { round, samples, startedAtMs, receives, expectedMs, deliveredAtMs, baseVersion, recalled } };
}
