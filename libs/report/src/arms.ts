import type { BenchArm, BenchOutcome, BenchRefusal, BenchResult, BenchSummary } from '@longtail/core';
import { isNumber, spread, type Spread } from './spread.js';

/** A run that came to its end: one seed at one value of the knob. */
export interface Run {
  readonly seed: number;
  readonly knob: string | undefined;
  readonly outcome: BenchOutcome;
}

/** All runs of one arm. */
export interface Arm {
  readonly name: string;
  /** Its place in the scenario, which gives it its colour, dash and marker in every chart. */
  readonly index: number;
  /** At the value of the knob that is shown, in the order of the seeds; none where it was refused there. */
  readonly runs: readonly Run[];
  /** At every value of the knob. */
  readonly everywhere: readonly Run[];
}

export interface Arms {
  /** The best first: by time to the target, then by final loss, then by throughput. Those that never ran are left out. */
  readonly ranked: readonly Arm[];
  readonly refused: readonly (Pick<BenchArm, 'name' | 'seed' | 'knob'> & { readonly refusal: BenchRefusal })[];
  /** The value of the knob that all charts but the sensitivity show. */
  readonly shownKnob: string | undefined;
}

export function collectArms({ arms, sweep, winner }: BenchResult): Arms {
  // The middle of a sweep stands for it, unless the arms ran without touching the knob, too.
  const values = sweep?.values ?? [];
  const shownKnob = arms.some(({ knob }) => knob === undefined) ? undefined : values[values.length >> 1];
  const names = [...new Set(arms.map(({ name }) => name))];
  const collected = names.map((name, index): Arm => {
    const everywhere = arms.flatMap((arm): Run[] =>
      arm.name === name && isDone(arm.outcome) ? [{ seed: arm.seed, knob: arm.knob, outcome: arm.outcome }] : [],
    );
    return { name, index, everywhere, runs: everywhere.filter(({ knob }) => knob === shownKnob).sort((a, b) => a.seed - b.seed) };
  });
  const rank = (arm: Arm): number[] => [arm.name === winner?.arm ? 0 : 1, ...standing(arm)];
  return {
    ranked: collected.filter(({ everywhere }) => everywhere.length > 0).sort((a, b) => compare(rank(a), rank(b)) || a.index - b.index),
    refused: arms.flatMap(({ name, seed, knob, outcome }) => (isDone(outcome) ? [] : [{ name, seed, knob, refusal: outcome }])),
    shownKnob,
  };
}

/** One figure of the summary over the seeds. */
export function figureOf(runs: readonly Run[], figure: (summary: BenchSummary) => number | null | undefined): Spread | undefined {
  return spread(runs.map(({ outcome }) => figure(outcome.summary)));
}

/** Mean time to the target; undefined where a seed did not reach it, since the mean of the others would flatter. */
export function timeToTarget(runs: readonly Run[]): Spread | undefined {
  const times = runs.map(({ outcome }) => outcome.summary.timeToTargetMs);
  return times.every(isNumber) ? spread(times) : undefined;
}

function standing({ runs }: Arm): number[] {
  const loss = figureOf(runs, ({ finalLoss }) => finalLoss)?.mean ?? Infinity;
  return [timeToTarget(runs)?.mean ?? Infinity, loss, -(figureOf(runs, ({ samplesPerSecond }) => samplesPerSecond)?.mean ?? -Infinity)];
}

function compare(a: readonly number[], b: readonly number[]): number {
  const at = a.findIndex((value, i) => value !== b[i]);
  return at < 0 ? 0 : a[at] < b[at] ? -1 : 1;
}

function isDone(outcome: BenchOutcome | BenchRefusal): outcome is BenchOutcome {
  return outcome.status === 'done';
}
