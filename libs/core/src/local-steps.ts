import { fragmentsOf, localStepsOf, type Job } from './job.js';
import type { GroupPace, LocalStepRule } from './sync.js';
import { formatMilliseconds } from './units.js';

/** How many steps groups take between two exchanges, as the strategy has it; undefined: the server steps. Runs and plans go by the same. */
export function localStepRuleOf(sync: Job['sync']): LocalStepRule | undefined {
  const most = localStepsOf(sync);
  if (most === undefined) return undefined;
  const fragments = fragmentsOf(sync);
  if (fragments === undefined) return most === 'auto' ? measuredLocalSteps() : dynamicLocalSteps(most);
  return most === 'auto' ? measuredOverlappedSteps(fragments) : overlappedSteps(most / fragments);
}

/** Of those who hold the same after local steps, the one that brings it home: whose uplink is fastest, of equal ones the first. */
export function bringerOf<Holder>(holders: readonly Holder[], upBitsPerSecond: (holder: Holder) => number): Holder {
  return holders.reduce((best, next) => (upBitsPerSecond(next) > upBitsPerSecond(best) ? next : best));
}

/**
 * Dynamic local steps (the DyLU of Liu et al. 2024, arXiv 2401.09135): the group that would be done first takes `most` steps,
 * every other as many as it can in the same time, its exchange included, and at least one.
 */
export function dynamicLocalSteps(most: number): LocalStepRule {
  return (groups) => ({ steps: stepsWithin(most, groups), reason: 'each as many as it can in the time of the fastest' });
}

/** What an exchange may take of a round. */
const EXCHANGE_PART = 0.05;
/** Before an exchange was measured. */
const FIRST_STEPS = 10;
const MOST_STEPS = 500;
/** Of a run, however short: workers that never meet learn a model each, and more rounds make short runs learn less for their time. */
const LEAST_ROUNDS = 4;
/** A link that takes more than this multiple of the others' median does not decide for all. */
const STRAGGLER_CAP = 4;

/**
 * The same with as many steps as make the longest exchange 5 % of a round: DESIGN.md's H ≥ R·b / (6·T·u), for rounds in which
 * nothing is computed meanwhile, and by what steps and exchanges take rather than by the data sheet.
 */
export function measuredLocalSteps(): LocalStepRule {
  return (groups, inAll) => {
    const most = mostSteps(groups, inAll);
    const exchangeMs = longestExchange(groups);
    if (exchangeMs === undefined) return { steps: stepsWithin(Math.min(most, FIRST_STEPS), groups), reason: 'no exchange was measured yet' };
    const roundMs = exchangeMs / EXCHANGE_PART;
    const stepMs = Math.min(...groups.map((group) => group.stepMs));
    const needed = Math.max(1, Math.ceil((roundMs - exchangeMs) / stepMs));
    const [exchange, round, step] = [exchangeMs, roundMs, stepMs].map(formatMilliseconds);
    const reason = `an exchange of ${exchange} is ${100 * EXCHANGE_PART} % of a round of ${round}: ${needed} steps of ${step} of the fastest`;
    return { steps: stepsWithin(Math.min(most, needed), groups), reason: needed > most ? `${reason}, at most ${most}` : reason };
  };
}

/**
 * Between two exchanges that overlap with steps: the fastest group takes `most`, which may be a fraction, every other as many
 * as it can in the same time. Whoever rounds carries what is left to the next exchange.
 */
export function overlappedSteps(most: number): LocalStepRule {
  return (groups) => ({ steps: stepsBeside(most, groups), reason: 'each as many as it can in the time of the fastest' });
}

/** Of the time between two exchanges, so that single ones may take longer. */
const OVERLAPPED_PART = 0.6;

/** The same with as many steps as hide the longest exchange, of one of so many fragments, behind them: DESIGN.md's H ≥ R·b / (6·T·u). */
export function measuredOverlappedSteps(fragments: number): LocalStepRule {
  return (groups, inAll = Infinity) => {
    const most = mostSteps(groups, inAll / fragments);
    const exchangeMs = longestExchange(groups);
    if (exchangeMs === undefined) return { steps: stepsBeside(Math.min(most, FIRST_STEPS), groups), reason: 'no exchange was measured yet' };
    const stepMs = Math.min(...groups.map((group) => group.stepMs));
    const needed = Math.max(1, Math.ceil(exchangeMs / OVERLAPPED_PART / stepMs));
    const [exchange, step] = [exchangeMs, stepMs].map(formatMilliseconds);
    const reason = `an exchange of ${exchange} hides behind ${needed} steps of ${step} of the fastest`;
    return { steps: stepsBeside(Math.min(most, needed), groups), reason: needed > most ? `${reason}, at most ${most}` : reason };
  };
}

/** That the fastest may take between two exchanges, so that a run of so many steps `inAll` has `LEAST_ROUNDS` of them. */
function mostSteps(groups: readonly GroupPace[], inAll = Infinity): number {
  const fastestMs = Math.min(...groups.map(({ stepMs }) => stepMs));
  const stepsOfAll = groups.reduce((sum, { stepMs }) => sum + fastestMs / stepMs, 0);
  return Math.max(1, Math.min(MOST_STEPS, Math.floor(inAll / LEAST_ROUNDS / stepsOfAll)));
}

function stepsBeside(most: number, groups: readonly GroupPace[]): ReadonlyMap<string, number> {
  const fastestMs = Math.min(...groups.map(({ stepMs }) => stepMs));
  return new Map(groups.map(({ node, stepMs }) => [node, (most * fastestMs) / stepMs]));
}

function stepsWithin(most: number, groups: readonly GroupPace[]): ReadonlyMap<string, number> {
  const unmeasuredMs = median(measured(groups)) ?? 0;
  const exchangeOf = ({ exchangeMs = unmeasuredMs }: GroupPace) => exchangeMs;
  const roundMs = Math.min(...groups.map((group) => exchangeOf(group) + most * group.stepMs));
  const stepsOf = (group: GroupPace) => Math.floor((roundMs - exchangeOf(group)) / group.stepMs + 1e-9);
  return new Map(groups.map((group) => [group.node, Math.min(most, Math.max(1, stepsOf(group)))]));
}

function longestExchange(groups: readonly GroupPace[]): number | undefined {
  const all = measured(groups);
  const middle = median(all);
  return middle === undefined ? undefined : Math.min(Math.max(...all), STRAGGLER_CAP * middle);
}

function measured(groups: readonly GroupPace[]): readonly number[] {
  return groups.flatMap(({ exchangeMs }) => (exchangeMs === undefined ? [] : [exchangeMs]));
}

/** The lower one of the two in the middle. */
function median(values: readonly number[]): number | undefined {
  return [...values].sort((a, b) => a - b)[(values.length - 1) >> 1];
}
