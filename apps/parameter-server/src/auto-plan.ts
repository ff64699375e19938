import { withSync, type Job, type MeasuredCluster, type ModelProfile, type Plan, type PlanRequest, type SyncChoice, type SyncFleet } from '@longtail/core';
import { planRequestFor, syncFleetOf } from '@longtail/planner';
import { chooseSync } from '@longtail/sync';

/**
 * A plan, and under `sync: auto` what that chooses: for those whom a plan for whole gradients finds, then once more for those
 * whom a plan for this choice finds.
 */
export function planWithSync(
  job: Job,
  profile: ModelProfile,
  cluster: MeasuredCluster,
  planBy: (request: PlanRequest) => Plan,
  coding: () => SyncFleet['coding'],
): { readonly plan: Plan; readonly sync?: SyncChoice } {
  const plan = planBy(planRequestFor(job));
  if (job.sync.strategy !== 'auto') return { plan };
  const choice = (of: Plan): SyncChoice => chooseSync(job, { ...syncFleetOf(of, profile, cluster), coding: coding() });
  const second = planBy(planRequestFor(withSync(job, choice(plan))));
  return { plan: second, sync: choice(second) };
}
