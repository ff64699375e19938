import { formatBytes } from '@longtail/core';
import type { MeasuredCluster, ModelProfile, Plan, PlanRequest } from '@longtail/core';
import type { PlanOptions } from './create-plan.js';
import type { GroupDraft } from './group-draft.js';
import { CostModel } from './cost-model.js';
import { withoutPlace } from './left-out.js';
import { complete, devicesOf, planFor, samplesPerSecondOf, type PlanBody } from './plan-for.js';
import { scenarioOf } from './scenarios.js';
import { leastBoundMs } from './search.js';

/** What a layout is expected to do that somebody else chose: a job that lays itself out, groups that stand. Pure and deterministic. */
export function planLayout(
  profile: ModelProfile,
  cluster: MeasuredCluster,
  request: PlanRequest,
  groups: readonly GroupDraft[],
  { makespanOf }: PlanOptions = {},
): Plan {
  const model = new CostModel(profile, cluster, request);
  const scenario = scenarioOf(model, groups);
  const body = planFor(model, { groups, scenario }, makespanOf);
  const notes = [...body.notes, ...tightOf(body)];
  return complete({ ...body, notes }, withoutPlace(model, groups, devicesOf(body), scenario, body.roundMs), 'given', samplesPerSecondOf(request, leastBoundMs(model)));
}

/** Who may refuse what it was given. */
function tightOf({ groups }: PlanBody): readonly string[] {
  const devices = groups.flatMap(({ stages }) => stages.flatMap((stage) => stage.devices));
  const tight = devices.filter(({ memory, offeredBytes }) => memory.total > offeredBytes);
  return tight.map(({ name, memory, offeredBytes }) => `${name} would need ${formatBytes(memory.total)}, offers ${formatBytes(offeredBytes)} and may refuse its stage`);
}
