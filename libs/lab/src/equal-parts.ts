import type { ShareRule, SyncStrategy, WorkerTime } from '@longtail/core';

/** Everybody the same number of samples, whatever it takes them. */
export const equalShares: ShareRule = Object.assign(
  (batch: number, workers: readonly WorkerTime[]) =>
    new Map(workers.map(({ node }, i) => [node, Math.floor(((i + 1) * batch) / workers.length) - Math.floor((i * batch) / workers.length)])),
  { fixed: true },
);

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
