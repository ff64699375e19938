import type { StageTiming } from '@longtail/core';
import type { Group } from './group.js';
import type { Member } from './member.js';

/** Of a backward pass twice as long as the forward pass: what nobody measured. */
const FORWARD_FRACTION = 1 / 3;
const INPUT_GRADIENT_FRACTION = 1 / 3;

/** By what the workers said when they were ready: samples a second, forward and backward together, through all that they hold. */
export function measuredTimings(group: Group): readonly StageTiming[] {
  return timingsOf(group, (member) => (1000 * group.plan.microbatch) / member.prepared!.ready.samplesPerSecond / group.stagesOf(member).length);
}

/** As long as nobody has measured, every stage takes as long as every other one: more replicas are there because each is slower. */
export function equalTimings(group: Group): readonly StageTiming[] {
  return timingsOf(group, (_, replicas) => 3 * replicas);
}

/**
 * Replicas of a stage are to a schedule one device that is as fast as all of them together, and whose outputs come late:
 * a microbatch takes as long as it takes the slowest of them, and what that is more stands as a hop behind the stage.
 */
function timingsOf({ stages }: Group, wholeMsOf: (member: Member, replicas: number) => number): readonly StageTiming[] {
  const costs = stages.map((holders) => {
    const eachMs = holders.map((member) => wholeMsOf(member, holders.length));
    const slowestMs = Math.max(...eachMs);
    // Exact where there is one: equal stages must stay equal.
    const periodMs = eachMs.length === 1 ? slowestMs : 1 / eachMs.reduce((rate, ms) => rate + 1 / ms, 0);
    return { periodMs, lateMs: slowestMs - periodMs };
  });
  return costs.map(({ periodMs, lateMs }, stage) => {
    const next = costs[stage + 1];
    // At the last stage the backward pass follows its own forward pass: both are late before the stage below gets anything.
    const nextFraction = stage + 2 === costs.length ? 1 : 1 - FORWARD_FRACTION;
    return {
      forwardMs: FORWARD_FRACTION * periodMs,
      backwardMs: (1 - FORWARD_FRACTION) * periodMs,
      inputGradientMs: INPUT_GRADIENT_FRACTION * periodMs,
      activationHopMs: next === undefined ? 0 : FORWARD_FRACTION * lateMs,
      gradientHopMs: next === undefined ? 0 : nextFraction * next.lateMs,
    };
  });
}
