import type { Job, MeasuredCluster, ModelProfile, Plan, PlanRequest, SyncChoice } from '@longtail/core';
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
): { readonly plan: Plan; readonly sync?: SyncChoice } {
  const plan = planBy(planRequestFor(job));
  if (job.sync.strategy !== 'auto') return { plan };
  const fleet = syncFleetOf(plan, profile, cluster);
  const { strategy, localSteps, codec, downCodec, computeMs } = chooseSync(job, fleet);
  const samples = computeMs * fleet.groups.reduce((sum, { msPerSample }) => sum + 1 / msPerSample, 0);
  // Local steps are of a whole batch each, inner steps of a plan of one batch for all groups together.
  const stepsPerRound = Math.max(1, Math.round(samples / job.train.batch));
  const request = planRequestFor({ ...job, sync: { ...job.sync, strategy, localSteps, codec, downCodec } });
  const second = planBy({ ...request, stepsPerRound });
  return { plan: second, sync: chooseSync(job, syncFleetOf(second, profile, cluster)) };
}
