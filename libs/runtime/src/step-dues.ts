import type { Group } from './group.js';
import { computingMs } from './speed.js';

/** A group that streams, and the last round that it has a task for. */
export interface Streaming {
  readonly group: Group;
  readonly lastRound: number;
}

/**
 * How many steps of `batch` samples a group can take until the end of a round: when the leader, which takes `most` a round and
 * goes through them at its own pace, will be done with it. It goes by when each is expected to be done with what it has, so that
 * who fell behind takes fewer and who is ahead takes more, instead of waiting at the end of its queue.
 */
export function stepsDue(leader: Streaming, most: number, follower: Streaming, batch: number, nowMs: number): (round: number) => number {
  const leaderMs = doneAtMs(leader, nowMs);
  const roundMs = computingMs(leader.group.speed, most * batch);
  const { fixedMs, msPerSample } = follower.group.speed;
  const fromMs = doneAtMs(follower, nowMs) + fixedMs;
  return (round) => (leaderMs + (round - leader.lastRound) * roundMs - fromMs) / (batch * msPerSample);
}

/** With all that it has, if it takes no longer than as a rule. */
function doneAtMs({ group }: Streaming, nowMs: number): number {
  const [first, ...rest] = group.tasks.filter(({ computed }) => !computed);
  if (first === undefined) return nowMs;
  const doneMs = Math.max(nowMs, first.startedAtMs + computingMs(group.speed, first.samples));
  return rest.reduce((ms, { samples }) => ms + computingMs(group.speed, samples), doneMs);
}
