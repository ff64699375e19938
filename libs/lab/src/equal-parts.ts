import type { ShareRule, SyncStrategy } from '@longtail/core';

/** Everybody the same number of samples, whatever it takes them. */
export const equalShares: ShareRule = (batch, workers) =>
  new Map(workers.map(({ node }, i) => [node, Math.floor(((i + 1) * batch) / workers.length) - Math.floor((i * batch) / workers.length)]));

/** Everybody as many local steps as the one that takes most. */
export function withEqualSteps(strategy: SyncStrategy): SyncStrategy {
  const { localSteps } = strategy;
  if (localSteps === undefined) return strategy;
  return {
    ...strategy,
    localSteps: (groups) => {
      const { steps } = localSteps(groups);
      const most = Math.max(...steps.values());
      return { steps: new Map(groups.map(({ node }) => [node, most])), reason: 'as many for everybody' };
    },
  };
}
