import { withSync, type Job, type MeasuredCluster, type ModelProfile, type Plan, type PlanRequest, type SyncChoice, type SyncFleet } from '@longtail/core';
import { planRequestFor, syncFleetOf } from '@longtail/planner';
import { chooseSync } from '@longtail/sync';

/** Plans for a choice that the plan before led to. */
const TURNS = 3;

/**
 * A plan, and under `sync: auto` what it is for: what that chooses for those whom a plan for whole gradients finds, and then for those
 * whom the plan for this choice finds, until it is the same or has been looked at often enough.
 */
export function planWithSync(
  job: Job,
  profile: ModelProfile,
  cluster: MeasuredCluster,
  planBy: (request: PlanRequest) => Plan,
  coding: () => SyncFleet['coding'],
): { readonly plan: Plan; readonly sync?: SyncChoice } {
  let plan = planBy(planRequestFor(job));
  if (job.sync.strategy !== 'auto') return { plan };
  const chosenFor = (of: Plan): SyncChoice => chooseSync(job, { ...syncFleetOf(of, profile, cluster), coding: coding() });
  let sync = chosenFor(plan);
  for (let turn = 1; ; turn++) {
    plan = planBy(planRequestFor(withSync(job, sync)));
    const next = chosenFor(plan);
    if (isSame(next, sync)) return { plan, sync: next };
    if (turn === TURNS) return { plan, sync };
    sync = next;
  }
}

function isSame(a: SyncChoice, b: SyncChoice): boolean {
  return (['strategy', 'localSteps', 'localBatch', 'fragments', 'codec', 'downCodec'] as const).every((key) => a[key] === b[key]);
}
