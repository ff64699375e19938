import type { LearningRateSchedule } from '@longtail/core';

/**
 * Learning rate of step `step` (from 0) of `totalSteps`.
 *
 * `constant` is the base rate. `cosine` (Loshchilov & Hutter 2017, without restarts) and `linear` rise linearly over the
 * first `warmup` of the run, whose first step already moves (1/n of the base rate for n warm-up steps), then fall to
 * `floor` × the base rate at the last step and stay there.
 */
export function learningRateAt(schedule: LearningRateSchedule, baseRate: number, step: number, totalSteps: number): number {
  if (schedule.type === 'constant') return baseRate;
  const warmupSteps = Math.round(schedule.warmup * totalSteps);
  if (step < warmupSteps) return (baseRate * (step + 1)) / warmupSteps;
  const progress = Math.min(1, (step - warmupSteps) / Math.max(1, totalSteps - 1 - warmupSteps));
  const above = schedule.type === 'cosine' ? (1 + Math.cos(Math.PI * progress)) / 2 : 1 - progress;
  return baseRate * (schedule.floor + (1 - schedule.floor) * above);
}
