import type { GroupPace, LocalStepRule } from '@longtail/core';

/**
 * Dynamic local steps (the DyLU of Liu et al. 2024, arXiv 2401.09135): the group that would be done first takes `most` steps,
 * every other as many as it can in the same time, its exchange included, and at least one.
 */
export function dynamicLocalSteps(most: number): LocalStepRule {
  return (groups) => {
    const exchanges = groups.flatMap(({ exchangeMs }) => (exchangeMs === undefined ? [] : [exchangeMs]));
    const unmeasuredMs = exchanges.length === 0 ? 0 : exchanges.sort((a, b) => a - b)[(exchanges.length - 1) >> 1]!;
    const timeOf = ({ stepMs, exchangeMs = unmeasuredMs }: GroupPace) => exchangeMs + most * stepMs;
    const roundMs = Math.min(...groups.map(timeOf));
    const stepsOf = ({ stepMs, exchangeMs = unmeasuredMs }: GroupPace) => Math.floor((roundMs - exchangeMs) / stepMs + 1e-9);
    return new Map(groups.map((group) => [group.node, Math.min(most, Math.max(1, stepsOf(group)))]));
  };
}
