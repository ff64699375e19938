import type { Plan, PlannedGroup } from '@longtail/core';

/** What a plan expected, and the median of what was measured; NaN where either has no figure. */
export interface Compared {
  readonly planned: number;
  readonly measured: number;
}

export interface DeviceComparison {
  readonly node: string;
  readonly name: string;
  /** Names of the first and the last block of each stage that it holds. */
  readonly blocks: readonly (readonly [string, string])[];
  /** Forward and backward of one microbatch. */
  readonly passMs: Compared;
  /** A round. */
  readonly computeMs: Compared;
  readonly utilisation: Compared;
  readonly memoryBytes: Compared;
  /** A round, to and from the server. */
  readonly bytesUp: Compared;
  readonly bytesDown: Compared;
  /** Undefined where no contribution says. */
  readonly exchange: ExchangeComparison | undefined;
}

/** What a device does in a round beside computing. No plan knows what coding takes, nor the exchange's part of a pipeline's traffic. */
export interface ExchangeComparison {
  readonly receiveMs: Compared;
  readonly encodeMs: Compared;
  readonly sendMs: Compared;
  readonly waitMs: Compared;
  /** The part of its time in which it sends and does not compute, as it was measured. */
  readonly sends: number;
}

export interface GroupComparison {
  /** Its place in the plan, from 1. */
  readonly number: number;
  readonly kind: PlannedGroup['kind'];
  /** Inner steps a round. */
  readonly steps: Compared;
  /** An inner step. */
  readonly samples: Compared;
  readonly stepMs: Compared;
  /** Parameters down and gradients up. */
  readonly exchangeMs: Compared;
  /** Fraction of its step in which its busiest stage does nothing. */
  readonly bubble: Compared;
  /** By stage, devices of a stage side by side; those that hold several stages once. */
  readonly stages: readonly (readonly DeviceComparison[])[];
}

/** A plan against the rounds that were done under it, times in milliseconds. */
export interface PlanComparison {
  readonly plan: Plan;
  /** Which of the run's plans, from 1, and how many it had: groups move, and the one that most rounds were done under is compared. */
  readonly number: number;
  readonly plans: number;
  /** Measured, and left out before them as warm-up. */
  readonly rounds: number;
  readonly warmUp: number;
  readonly roundMs: Compared;
  readonly samplesPerSecond: Compared;
  readonly bytesUp: Compared;
  readonly bytesDown: Compared;
  /** Those that were at work. */
  readonly groups: readonly GroupComparison[];
  readonly deviation: Deviation;
}

/** `the median of 251 rounds after 5 to warm up, under plan 3 of 3, by which most were done` */
export function roundsCompared({ rounds, warmUp, number, plans }: PlanComparison): string {
  const after = warmUp > 0 ? ` after ${warmUp} to warm up` : '';
  return `the median of ${rounds} rounds${after}${plans > 1 ? `, under plan ${number} of ${plans}, by which most were done` : ''}`;
}

/** The part of a round that strays furthest from its plan. */
export interface Deviation {
  /** `compute`: of the slowest group's busiest stage. `waiting`: of that stage for others. `rest`: neither of these nor the exchange. */
  readonly part: 'compute' | 'waiting' | 'exchange' | 'rest';
  readonly ms: Compared;
  /** For people, with the likely cause. */
  readonly sentence: string;
}
