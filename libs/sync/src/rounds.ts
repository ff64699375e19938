import { select, type Decision, type LocalStepRule, type RoundState, type SyncStrategy } from '@longtail/core';
import { busy, expectedTime, isDelivered, isMissing, knownOf, spanMs, those, type Busy, type DeadlineOptions } from './deadline.js';

export interface RoundsOptions extends DeadlineOptions {
  /** A round commits once this fraction of its groups has delivered … @default 1 */
  readonly quorum?: number;
  /** … and the others had this much time more. @default 0 */
  readonly graceMs?: number;
}

/** With nothing delivered nobody is being held up, and what all expected may be wrong; after this multiple of the deadline the whole round is given up. */
const SILENCE_FACTOR = 10;

/** Local steps that take this multiple of a round's expected time are called home, once somebody waits for them. */
const RECALL_FACTOR = 1.25;

/**
 * Bulk synchronous parallel training (Valiant 1990) with a deadline: all groups begin a round together, and it commits when
 * every contribution is there, or a quorum of them and the grace is over (the backup workers of Chen et al. 2016,
 * "Revisiting distributed synchronous SGD"), or at the deadline with those that are. Contributions go in the order of the
 * members, each at weight 1. Where they are of fewer samples than a batch, as somebody is missing or the data end, the step has
 * their part of the learning rate: each sample counts the same.
 *
 * The expected time is the slowest member's, corrected upwards when even the fastest took longer: then the estimate was
 * wrong for all, and punishing everybody would only lose work.
 */
export function bsp(options: RoundsOptions): SyncStrategy {
  return {
    name: 'bsp',
    localSteps: undefined,
    together: true,
    decide: (round, nowMs) => decide(options, round, nowMs, partOfBatch),
  };
}

/**
 * Local SGD with an outer optimizer (DiLoCo, Douillard et al. 2023, arXiv 2311.08105) in rounds like those of `bsp`. Groups
 * that are not done when the round's expected time is over are called home: what they did counts.
 */
export function diloco(options: RoundsOptions, localSteps: LocalStepRule): SyncStrategy {
  return {
    name: 'diloco',
    localSteps,
    decide(round, nowMs) {
      const decision = decide(options, round, nowMs);
      return decision instanceof Waiting ? withRecall(decision, round, nowMs) : decision;
    },
  };
}

/** Of the learning rate, where those are committed. */
type ScaleOf = (round: RoundState, delivered: readonly Busy[]) => number;

function partOfBatch({ roundSamples }: RoundState, delivered: readonly Busy[]): number {
  return Math.min(1, delivered.reduce((sum, { task }) => sum + task.samples, 0) / roundSamples);
}

function decide(options: RoundsOptions, round: RoundState, nowMs: number, scaleOf: ScaleOf = () => 1): Decision {
  const members = busy(round.members);
  if (members.length === 0) return { ...NOTHING, proceed: round.members.map(({ node }) => node), reason: 'a round begins' };
  const delivered = those(members, isDelivered);
  const missing = delivered === members ? [] : those(members, isMissing);
  const commitOf = (release: Decision['release'], reason: string): Decision => {
    const commit = delivered.map(({ node }) => ({ node, weight: 1 }));
    return { ...NOTHING, commit, stepScale: commit.length > 0 ? scaleOf(round, delivered) : 1, release, reason };
  };
  if (missing.length === 0) return commitOf([], `all ${delivered.length} delivered`);

  const working = atWork(members);
  const openedAtMs = opening(working);
  const fastestMs = fastest(working);
  const deadlineMs = deadlineOf(options, working, openedAtMs, fastestMs);
  const enoughMs = latest(enoughAt(options, members, delivered), working === members ? -Infinity : enoughAt(options, working, those(working, isDelivered)));
  if (enoughMs !== undefined && nowMs >= enoughMs && enoughMs < (deadlineMs ?? Infinity)) {
    const why = `${delivered.length} of ${members.length} delivered, and ${options.graceMs ?? 0} ms of grace are over`;
    const reason = `came after the quorum of round ${round.round} and its grace`;
    return commitOf(missing.map(({ node }) => ({ node, reason, late: true })), why);
  }
  if (deadlineMs === undefined || nowMs < deadlineMs) {
    // Those who bring steps home and those at work are counted apart: any delivery may be the one.
    const needs = working.length < members.length || fastestMs === undefined ? 1 : deliveriesNeeded(options, members.length, delivered.length);
    return new Waiting(missing, earliest(enoughMs, deadlineMs), needs);
  }
  const tookMs = Math.round(deadlineMs - openedAtMs);
  const reason = `missed the deadline of ${tookMs} ms of round ${round.round}`;
  const release = missing.map(({ node }) => ({ node, reason, late: false }));
  return commitOf(release, `deadline of ${tookMs} ms: ${delivered.length} of ${members.length} delivered`);
}

const NOTHING: Decision = { commit: [], stepScale: 1, release: [], recall: [], proceed: [], wakeAtMs: undefined, reason: '' };

/** There is nothing to do yet. A class, as V8 keeps a literal with an accessor as a dictionary, and whoever reads decisions was compiled anew for it. */
class Waiting implements Decision {
  readonly commit = NOTHING.commit;
  readonly stepScale = NOTHING.stepScale;
  readonly release = NOTHING.release;
  readonly recall = NOTHING.recall;
  readonly proceed = NOTHING.proceed;

  constructor(
    private readonly missing: readonly Busy[],
    readonly wakeAtMs: number | undefined,
    readonly needs: number,
  ) {}

  /** Who waits is seldom asked for whom, and of many members that takes longer than all else. */
  get reason(): string {
    return `waiting for ${this.missing.map(({ node }) => node).join(', ')}`;
  }

  /** The same, but asked again at that time at the latest. */
  until(atMs: number): Waiting {
    return new Waiting(this.missing, earliest(this.wakeAtMs, atMs), this.needs);
  }
}

/** Who only brings home what it stepped before is done at once, and hurries nobody. */
function atWork(members: readonly Busy[]): readonly Busy[] {
  const working = those(members, ({ task }) => task.samples > 0);
  return working.length > 0 ? working : members;
}

function opening(members: readonly Busy[]): number {
  let firstMs = Infinity;
  for (const { task } of members) firstMs = Math.min(firstMs, task.startedAtMs);
  return firstMs;
}

function quorumOf({ quorum = 1 }: RoundsOptions, members: number): number {
  return Math.max(1, Math.ceil(quorum * members - 1e-9));
}

/** Once the first one has said how long a round takes: the quorum's last one says when the grace begins, and the last one ends it. */
function deliveriesNeeded(options: RoundsOptions, members: number, delivered: number): number {
  const need = quorumOf(options, members);
  return (delivered < need ? need : members) - delivered;
}

/** When the quorum's grace ends; undefined while the quorum is not there. */
function enoughAt(options: RoundsOptions, members: readonly Busy[], delivered: readonly Busy[]): number | undefined {
  const { graceMs = 0 } = options;
  const need = quorumOf(options, members.length);
  return delivered.length < need ? undefined : select(knownOf(delivered, ({ deliveredAtMs }) => deliveredAtMs), need - 1) + graceMs;
}

/** Undefined while nothing is known that a deadline could be made of: the first round, before the first delivery. */
function deadlineOf(options: RoundsOptions, members: readonly Busy[], openedAtMs: number, fastestMs: number | undefined): number | undefined {
  const expectedMs = expectedTime(members);
  if (fastestMs !== undefined) return openedAtMs + spanMs(options, Math.max(expectedMs ?? 0, fastestMs));
  const measured = members.every(({ task }) => task.expectedMs !== undefined);
  if (!measured || expectedMs === undefined) return undefined;
  // One that is alone has nobody beside it who could be late for the same reason.
  const isWaiting = members.length > 1 && !members.some(isDelivered);
  return openedAtMs + (isWaiting ? SILENCE_FACTOR : 1) * spanMs(options, expectedMs);
}

/** From task to delivery; undefined before the first. Where parameters were sent, of those who had to wait for them: who drew them is done long before. */
function fastest(members: readonly Busy[]): number | undefined {
  const receives = members.some(({ task }) => task.receives);
  let leastMs: number | undefined;
  for (const { task } of members) {
    const { deliveredAtMs, startedAtMs } = task;
    if (deliveredAtMs !== undefined && task.receives === receives) leastMs = Math.min(leastMs ?? Infinity, deliveredAtMs - startedAtMs);
  }
  return leastMs;
}

function withRecall(waiting: Waiting, round: RoundState, nowMs: number): Decision {
  const members = atWork(busy(round.members));
  const fastestMs = fastest(members);
  const slow = members.filter((member) => !isDelivered(member) && !member.task.recalled);
  if (fastestMs === undefined || slow.length === 0) return waiting;
  const recallMs = opening(members) + RECALL_FACTOR * Math.max(fastestMs, expectedTime(members) ?? 0);
  if (nowMs < recallMs) return waiting.until(recallMs);
  return { ...NOTHING, recall: slow.map(({ node }) => node), wakeAtMs: waiting.wakeAtMs, needs: waiting.needs, reason: 'the time of the round is over' };
}

function earliest(a: number | undefined, b: number | undefined): number | undefined {
  return a === undefined ? b : b === undefined ? a : Math.min(a, b);
}

/** Undefined: one of them is not there yet. */
function latest(a: number | undefined, b: number | undefined): number | undefined {
  return a === undefined || b === undefined ? undefined : Math.max(a, b);
}
