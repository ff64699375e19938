import type { Schedule, StageTiming } from '@longtail/core';
import { dispatch, type Dispatched, type DispatchRule } from './dispatch.js';
import type { ActionLists } from './lists.js';
import { limitOf, peakStash, type StashLimit } from './stash.js';

export interface CappedOptions {
  readonly maxStash?: StashLimit;
  /** Split each backward pass into I and W, and fill gaps with W. @default false */
  readonly splitBackward?: boolean;
}

/** NUMBERS.md's rule is 1 and 2; which one is best depends on where the slow stages are. */
const CAP_FACTORS = [0.75, 1, 1.5, 2, 3];
const CAP_EXTRAS = [0, 1, 2, 3];

/** A makespan this much longer is no reason to hold more stashes. */
const TOLERANCE = 0.005;

/**
 * Work-conserving 1F1B with a cap on each stage's microbatches in flight, made for the timings given. Where plain 1F1B runs
 * p−1−s forwards ahead, whatever a microbatch takes to come back, the cap is what covers the way there and back, hop delays
 * included: the bandwidth-delay product of the pipeline. As the lists are made ahead, several caps and both preferences are
 * tried in simulation, and the shortest is taken; among those within half a per cent the one that stashes least.
 */
export function cappedOneForwardOneBackward(options: CappedOptions = {}): Schedule {
  const { maxStash, splitBackward = false } = options;
  const memo = new WeakMap<readonly StageTiming[], Map<number, ActionLists>>();
  const listsOf = (stages: readonly StageTiming[], microbatches: number) => {
    const known = memo.get(stages) ?? new Map<number, ActionLists>();
    memo.set(stages, known);
    const lists = known.get(microbatches) ?? bestLists(stages, microbatches, maxStash, splitBackward);
    known.set(microbatches, lists);
    return lists;
  };
  return {
    name: 'capped-1f1b',
    chunks: 1,
    splitsBackward: splitBackward,
    actions: (rank, stages, microbatches) => listsOf(stages, microbatches)[rank]!,
    stashCap: (rank, stages, microbatches) => peakStash(listsOf(stages, microbatches)[rank]!),
  };
}

function bestLists(
  stages: readonly StageTiming[],
  microbatches: number,
  maxStash: StashLimit | undefined,
  splitBackward: boolean,
): ActionLists {
  const limits = stages.map((_, rank) => Math.min(microbatches, limitOf(maxStash, rank)));
  const stashed = (stashes: readonly number[]) => stashes.reduce((sum, stash) => sum + stash, 0);
  return shortest(stages, microbatches, candidateRules(stages, limits, splitBackward))
    .reduce((best, next) => {
      const saved = stashed(best.stashes) - stashed(next.stashes);
      return saved > 0 || (saved === 0 && next.makespanMs < best.makespanMs) ? next : best;
    })
    .lists();
}

/** What comes within half a per cent of the shortest of all, in the order of the rules. Those with the most room come first, as they leave least to be tried by the others. */
function shortest(stages: readonly StageTiming[], microbatches: number, rules: readonly DispatchRule[]): readonly Dispatched[] {
  const tried: { readonly rule: DispatchRule; readonly dispatched: Dispatched }[] = [];
  let withinMs = Infinity;
  for (const rule of rules.toReversed()) {
    const twin = tried.find((other) => isNoOther(rule, other.rule, other.dispatched.stashes));
    const dispatched = twin?.dispatched ?? dispatch(stages, microbatches, rule, withinMs);
    if (dispatched === undefined) continue;
    tried.unshift({ rule, dispatched });
    withinMs = Math.min(withinMs, (1 + TOLERANCE) * dispatched.makespanMs);
  }
  return tried.map(({ dispatched }) => dispatched).filter(({ makespanMs }) => makespanMs <= withinMs);
}

/** Less room, but for no fewer stashes than were held at once: nothing that was done would have had to wait. */
function isNoOther({ caps, prefer }: DispatchRule, roomier: DispatchRule, stashes: readonly number[]): boolean {
  return prefer === roomier.prefer && caps.every((cap, stage) => stashes[stage]! <= cap && cap <= roomier.caps[stage]!);
}

/** Those of the least room first. */
export function candidateRules(stages: readonly StageTiming[], limits: readonly number[], splitBackward: boolean): DispatchRule[] {
  const periods = periodsInFlight(stages);
  const rules = new Map<string, DispatchRule>();
  for (const factor of CAP_FACTORS) {
    for (const extra of CAP_EXTRAS) {
      const caps = periods.map((inFlight, stage) => Math.min(limits[stage]!, Math.max(1, Math.ceil(factor * inFlight) + extra)));
      for (const prefer of ['backward', 'forward'] as const) rules.set(`${prefer}/${caps.join()}`, { caps, prefer, splitBackward });
    }
  }
  return [...rules.values()];
}

/** From a stage's forward to the end of its backward, in periods of the bottleneck, be it a device or an uplink. */
function periodsInFlight(stages: readonly StageTiming[]): readonly number[] {
  const periodMs = Math.max(...stages.map((timing, stage) => Math.max(computeMs(timing), uplinkMs(stages, stage))));
  const periods: number[] = [];
  let roundTripMs = 0;
  for (const [back, timing] of stages.toReversed().entries()) {
    roundTripMs += computeMs(timing) + (back === 0 ? 0 : timing.activationHopMs + timing.gradientHopMs);
    periods.unshift(periodMs > 0 ? roundTripMs / periodMs : 1);
  }
  return periods;
}

function computeMs({ forwardMs, backwardMs }: StageTiming): number {
  return forwardMs + backwardMs;
}

/** What a microbatch takes up of the uplink of the worker that holds this stage. */
function uplinkMs(stages: readonly StageTiming[], stage: number): number {
  const activation = stage < stages.length - 1 ? (stages[stage]!.activationSendMs ?? 0) : 0;
  return activation + (stages[stage - 1]?.gradientSendMs ?? 0);
}
