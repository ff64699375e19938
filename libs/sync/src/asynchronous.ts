import type { Decision, FleetState, LocalStepRule, GroupState, RoundState, SyncStrategy, TaskState } from '@longtail/core';
import { busy, spanMs, STRAGGLER_CAP, usualTime, type DeadlineOptions } from './deadline.js';

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
  return { name: 'asp', localSteps, apart: true, decide: (round, nowMs) => decide({ ...options, staleness: Infinity }, round, nowMs) };
}

/** Stale synchronous parallel training (Ho et al. 2013): like `asp`, but no group runs further ahead than the bound. */
export function ssp(options: SspOptions, localSteps?: LocalStepRule): SyncStrategy {
  return { name: 'ssp', localSteps, apart: true, decide: (round, nowMs) => decide(options, round, nowMs) };
}

/** A contribution that is there. */
interface Delivered {
  readonly node: string;
  readonly samples: number;
  /** Versions that were committed since the one that it is based on. */
  readonly staleness: number;
}

function decide(options: SspOptions, round: RoundState, nowMs: number): Decision {
  const fleet = round.fleet ?? fleetOf(round.members);
  const mostMs = options.staleness === Infinity ? Infinity : STRAGGLER_CAP * (fleet.usualMs ?? Infinity);
  const delivered: Delivered[] = [];
  const release = [];
  let wakeAtMs = Infinity;
  for (const { node, task } of round.members) {
    if (task === undefined) continue;
    if (task.deliveredAtMs !== undefined) {
      delivered.push({ node, samples: task.samples, staleness: round.version - task.baseVersion });
      continue;
    }
    const atMs = deadlineOf(options, task, mostMs);
    if (nowMs < atMs) wakeAtMs = Math.min(wakeAtMs, atMs);
    else release.push({ node, reason: `missed its deadline of ${Math.round(atMs - task.startedAtMs)} ms`, late: false });
  }
  const { commit, stepScale } = commitOf(options, round.roundSamples, fleet.groups, delivered);
  const wakeMs = wakeAtMs === Infinity ? undefined : wakeAtMs;
  if (commit.length > 0) return { commit, stepScale, release, recall: [], proceed: [], wakeAtMs: wakeMs, reason: describe(delivered) };
  return new Waiting(options, round.members, fleet, stepScale, release, wakeMs);
}

function fleetOf(members: readonly GroupState[]): FleetState {
  return {
    groups: members.length,
    get leastRounds() {
      return members.reduce((least, { rounds }) => Math.min(least, rounds), Infinity);
    },
    get usualMs() {
      return usualTime(busy(members));
    },
  };
}

/** Nothing to commit. A class, as those of `bsp` that wait are. */
class Waiting implements Decision {
  readonly commit = [];
  readonly recall = [];
  readonly proceed: readonly string[];

  constructor(
    private readonly options: SspOptions,
    private readonly members: readonly GroupState[],
    private readonly fleet: FleetState,
    readonly stepScale: number,
    readonly release: Decision['release'],
    readonly wakeAtMs: number | undefined,
  ) {
    this.proceed = mayProceed(options, members, fleet);
  }

  /** Who waits is seldom asked for whom, and of many members that takes longer than all else. */
  get reason(): string {
    return waitingFor(this.options, this.members, this.fleet);
  }
}

/** A task's own; where a straggler would hold others up, its expectation counts within the cap only. Infinity: not known. */
function deadlineOf(options: SspOptions, { startedAtMs, expectedMs }: TaskState, mostMs: number): number {
  return expectedMs === undefined ? Infinity : startedAtMs + spanMs(options, Math.min(expectedMs, mostMs));
}

function commitOf({ stalenessPower = 0.5 }: SspOptions, roundSamples: number, groups: number, delivered: readonly Delivered[]) {
  const inTurn = groups - 1;
  const weightOf = (staleness: number) => (1 + Math.max(0, staleness - inTurn)) ** -stalenessPower;
  const commit = delivered.map(({ node, staleness }) => ({ node, weight: weightOf(staleness) }));
  const weighted = delivered.reduce((sum, { samples }, i) => sum + commit[i]!.weight * samples, 0);
  return { commit, stepScale: Math.min(1, weighted / roundSamples) };
}

function mayProceed({ staleness }: SspOptions, members: readonly GroupState[], fleet: FleetState): readonly string[] {
  const slowest = staleness === Infinity ? 0 : fleet.leastRounds;
  return members.filter(({ task, rounds }) => task === undefined && rounds - slowest <= staleness).map(({ node }) => node);
}

function describe(delivered: readonly Delivered[]): string {
  return `delivered: ${delivered.map(({ node, staleness }) => `${node} (${staleness} behind)`).join(', ')}`;
}

function waitingFor({ staleness }: SspOptions, members: readonly GroupState[], { leastRounds }: FleetState): string {
  const held = members.filter(({ task, rounds }) => task === undefined && rounds - leastRounds > staleness).map(({ node }) => node);
  const names = (list: readonly string[]) => list.join(', ');
  const waiting = `waiting for ${names(busy(members).map(({ node }) => node))}`;
  return held.length === 0 ? waiting : `${waiting}; ${names(held)} may not run further ahead`;
}
