import type { BlockRange } from '@longtail/core';
import type { CostModel } from './cost-model.js';

/** Blocks, and whether their activations are computed again. */
export interface Range extends BlockRange {
  readonly recompute: boolean;
}

/**
 * Which of a pool's stages recompute: one replica that has to would make all do it. Either those where most devices have to; or only
 * those which the devices that need not are too few to make as fast as the others. Memory is scarce in the first case, the
 * arithmetic of few roomy devices large in the second; neither is always better. Once where they are the same.
 */
export function recomputeChoices(
  model: CostModel,
  devices: readonly number[],
  ranges: readonly BlockRange[],
  microbatch: number,
): readonly (readonly Range[])[] {
  const { costs, cluster, request } = model;
  const kinds = model.kinds.among(devices);
  const rateOf = (kind: readonly number[], start: number, end: number) => {
    const { forwardMs, backwardMs } = costs.passMs(cluster.devices[kind[0]!]!, start, end, microbatch, false);
    return kind.length / Math.max(1e-9, forwardMs + backwardMs);
  };
  const enough = sum(kinds, (kind) => rateOf(kind, 0, costs.blocks));
  const needs = ranges.map(({ start, end }, s) => {
    const always = request.recompute === 'always' && model.memory.mayRecompute(start, end);
    const ofKinds = kinds.map(([device]) => model.memory.recomputeFor(device!, start, end, microbatch, ranges.length - s));
    const having = kinds.filter((_, k) => ofKinds[k] === true);
    const spared = kinds.filter((_, k) => ofKinds[k] === false);
    const count = sum(having, ({ length }) => length);
    return {
      mostly: always || count > devices.length / 2,
      sparingly: always || (count > 0 && sum(spared, (kind) => rateOf(kind, start, end)) < enough),
    };
  });
  const mostly = ranges.map((range, s) => ({ ...range, recompute: needs[s]!.mostly }));
  if (needs.every((need) => need.mostly === need.sparingly)) return [mostly];
  return [mostly, ranges.map((range, s) => ({ ...range, recompute: needs[s]!.sparingly }))];
}

function sum<T>(items: readonly T[], of: (item: T) => number): number {
  return items.reduce((total, item) => total + of(item), 0);
}
