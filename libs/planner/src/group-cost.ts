import type { GroupCost } from './rounds.js';
import { busiest } from './turns.js';

/** A stage's times, in milliseconds. */
export interface StageCost {
  /** Between two microbatches, all replicas at work. */
  readonly periodMs: number;
  /** Of one microbatch on the slowest replica. */
  readonly latencyMs: number;
  /** Gradient sums among the replicas, an inner step. */
  readonly syncMs: number;
  /** Gradients to the server and parameters back, a round. */
  readonly exchangeMs: number;
}

/** What stages pass on to each other, in milliseconds. */
export interface HopCost {
  readonly periodMs: number;
  readonly activationMs: number;
  readonly gradientMs: number;
}

/** Of a group's microbatches: the first through all stages and back, and each that follows. */
export interface Passes {
  readonly onceMs: number;
  readonly periodMs: number;
}

/** `chunks`: stages that each device holds. */
export function passesOf(costs: readonly StageCost[], hops: readonly HopCost[], chunks: number): Passes {
  const busiestMs = (each: readonly { readonly periodMs: number }[]) => busiest(each.map(({ periodMs }) => periodMs), costs.length / chunks);
  const periodMs = Math.max(busiestMs(costs), busiestMs(hops));
  const latencyMs = costs.reduce((sum, cost) => sum + cost.latencyMs, 0) + hops.reduce((sum, hop) => sum + hop.activationMs + hop.gradientMs, 0);
  // Devices that hold several stages in turn have all something to do that much sooner.
  return { periodMs, onceMs: periodMs + (latencyMs - periodMs) / chunks };
}

/** Stages of a group, as they weigh together. */
export interface WeighedStages {
  readonly stages: number;
  readonly periodMs: number;
  /** Of an inner step: of the first microbatch, and of what stages share. */
  readonly onceMs: number;
  /** Of an inner step: the longest sum among replicas of a stage. */
  readonly syncMs: number;
  readonly tailMs: number;
  readonly uploads: number;
}

/** The replicas of a single stage work side by side and fill nothing. */
export function groupCost({ microbatch, stages, periodMs, onceMs, syncMs, tailMs, uploads }: WeighedStages & { readonly microbatch: number }): GroupCost {
  const isOne = stages === 1;
  return { microbatch, periodMs, fillMs: (isOne ? 0 : onceMs - periodMs) + syncMs, tailMs, minSamples: isOne ? 0 : microbatch, uploads };
}
