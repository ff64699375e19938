import { LongtailError, withSync, type Job, type MeasuredCluster, type ModelProfile, type Plan, type PlanRequest, type SyncChoice, type SyncFleet } from '@longtail/core';
import { planRequestFor, syncFleetOf } from '@longtail/planner';
import { chooseSync } from '@longtail/sync';

/** Plans for a choice that the plan before led to. */
const TURNS = 3;

/**
 * A plan, and under `sync: auto` what it is for: what that chooses for those whom a plan for whole gradients finds, and then for those
 * whom the plan for this choice finds, until it is the same or has been looked at often enough. Where no plan has room for the
 * workers' own optimizers, the server steps.
 */
export function planWithSync(
  job: Job,
  profile: ModelProfile,
  cluster: MeasuredCluster,
  planBy: (request: PlanRequest) => Plan,
  coding: () => SyncFleet['coding'],
): { readonly plan: Plan; readonly sync?: SyncChoice } {
  const whole = planBy(planRequestFor(job));
  if (job.sync.strategy !== 'auto') return { plan: whole };
  const fleetOf = (of: Plan): SyncFleet => ({ ...syncFleetOf(of, profile, cluster), coding: coding() });
  let sync = chooseSync(job, fleetOf(whole));
  for (let turn = 1; ; turn++) {
    const plan = plannedIfAny(() => planBy(planRequestFor(withSync(job, sync))));
    if (plan === undefined) return { plan: whole, sync: chooseSync(job, withoutRoom(fleetOf(whole))) };
    const next = chooseSync(job, fleetOf(plan));
    if (isSame(next, sync)) return { plan, sync: next };
    if (turn === TURNS) return { plan, sync };
    sync = next;
  }
}

function plannedIfAny(plan: () => Plan): Plan | undefined {
  try {
    return plan();
  } catch (error) {
    if (error instanceof LongtailError && error.code === 'no-plan') return undefined;
    throw error;
  }
}

function withoutRoom({ groups, ...rest }: SyncFleet): SyncFleet {
  return { ...rest, groups: groups.map((group) => ({ ...group, links: group.links.map((link) => ({ ...link, mayStep: false })) })) };
}

function isSame(a: SyncChoice, b: SyncChoice): boolean {
  return (['strategy', 'localSteps', 'localBatch', 'fragments', 'codec', 'downCodec'] as const).every((key) => a[key] === b[key]);
}
