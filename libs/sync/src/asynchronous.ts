import type { Decision, LocalStepRule, MemberState, RoundState, SyncStrategy } from '@longtail/core';
import { busy, expectedTime, isDelivered, spanMs, type Busy, type DeadlineOptions } from './deadline.js';

export interface AsynchronousOptions extends DeadlineOptions {
  /** Weight of a contribution that is `e` versions older than when all groups take turns: (1 + e)^−power. @default 0.5 */
  readonly stalenessPower?: number;
}

export interface SspOptions extends AsynchronousOptions {
  /** Tasks that a group may be ahead of the slowest one when it begins another; 0: none begins before all have ended one. */
  readonly staleness: number;
}

/**
 * Asynchronous training: each contribution is committed when it comes, and its group goes on at once. A commit of n samples
 * steps with n / `roundSamples` of the learning rate, so that a round's worth of commits moves the parameters as far as one
 * step of all would; what is stale weighs less (polynomially, as in Xie et al. 2019, arXiv 1903.03934). With K groups in
 * turn each contribution is K − 1 versions old: only what is older counts as stale.
 */
export function asp(options: AsynchronousOptions, localSteps?: LocalStepRule): SyncStrategy {
  return { name: 'asp', localSteps, decide: (round, nowMs) => decide({ ...options, staleness: Infinity }, round, nowMs) };
}

/** Stale synchronous parallel training (Ho et al. 2013): like `asp`, but no group runs further ahead than the bound. */
export function ssp(options: SspOptions, localSteps?: LocalStepRule): SyncStrategy {
  return { name: 'ssp', localSteps, decide: (round, nowMs) => decide(options, round, nowMs) };
}

function decide(options: SspOptions, round: RoundState, nowMs: number): Decision {
  const members = busy(round.members);
  const delivered = members.filter(isDelivered);
  const mostMs = options.staleness === Infinity ? Infinity : expectedTime(members);
  const release = [];
  let wakeAtMs = Infinity;
  for (const member of members) {
    if (isDelivered(member)) continue;
    const { node, task } = member;
    const atMs = deadlineOf(options, member, mostMs);
    if (nowMs < atMs) wakeAtMs = Math.min(wakeAtMs, atMs);
    else release.push({ node, reason: `missed its deadline of ${Math.round(atMs - task.startedAtMs)} ms`, late: false });
  }
  const { commit, stepScale } = commitOf(options, round, delivered);
  const proceed = commit.length > 0 ? [] : mayProceed(options, round.members);
  const committed = commit.length > 0 ? describe(round, delivered) : undefined;
  return {
    commit,
    stepScale,
    release,
    recall: [],
    proceed,
    wakeAtMs: wakeAtMs === Infinity ? undefined : wakeAtMs,
    // Who waits is seldom asked for whom, and of many members that takes longer than all else.
    get reason() {
      return committed ?? waitingFor(options, round.members);
    },
  };
}

/** A task's own; where a straggler would hold others up, its expectation counts within the cap only. Infinity: not known. */
function deadlineOf(options: SspOptions, { task }: Busy, mostMs: number | undefined): number {
  return task.expectedMs === undefined ? Infinity : task.startedAtMs + spanMs(options, Math.min(task.expectedMs, mostMs!));
}

function commitOf({ stalenessPower = 0.5 }: SspOptions, { version, roundSamples, members }: RoundState, delivered: readonly Busy[]) {
  const inTurn = members.length - 1;
  const weightOf = (staleness: number) => (1 + Math.max(0, staleness - inTurn)) ** -stalenessPower;
  const commit = delivered.map(({ node, task }) => ({ node, weight: weightOf(version - task.baseVersion) }));
  const weighted = delivered.reduce((sum, { task }, i) => sum + commit[i]!.weight * task.samples, 0);
  return { commit, stepScale: Math.min(1, weighted / roundSamples) };
}

function mayProceed({ staleness }: SspOptions, members: readonly MemberState[]): readonly string[] {
  const slowest = slowestOf(members);
  return members.filter(({ task, rounds }) => task === undefined && rounds - slowest <= staleness).map(({ node }) => node);
}

function slowestOf(members: readonly MemberState[]): number {
  return members.reduce((least, { rounds }) => Math.min(least, rounds), Infinity);
}

function describe({ version }: RoundState, delivered: readonly Busy[]): string {
  return `delivered: ${delivered.map(({ node, task }) => `${node} (${version - task.baseVersion} behind)`).join(', ')}`;
}

function waitingFor({ staleness }: SspOptions, members: readonly MemberState[]): string {
  const slowest = slowestOf(members);
  const held = members.filter(({ task, rounds }) => task === undefined && rounds - slowest > staleness).map(({ node }) => node);
  const names = (list: readonly string[]) => list.join(', ');
  const waiting = `waiting for ${names(busy(members).map(({ node }) => node))}`;
  return held.length === 0 ? waiting : `${waiting}; ${names(held)} may not run further ahead`;
}
