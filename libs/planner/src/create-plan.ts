import type { MakespanOf, MeasuredCluster, ModelProfile, Plan, PlanRequest } from '@longtail/core';
import { inTurns } from './in-turns.js';
import { CostModel } from './layout.js';
import { leftOut } from './left-out.js';
import { estimateMakespan } from './makespan.js';
import { complete, devicesOf, planFor, samplesPerSecondOf } from './plan-for.js';
import { scenarioOf } from './scenarios.js';
import { search } from './search.js';
import { shortfall } from './shortfall.js';

export interface PlanOptions {
  /** The schedule's exact time of a pipeline; default: fill and bottleneck. The search always estimates. */
  readonly makespanOf?: MakespanOf;
}

/**
 * Lays a job over a cluster: a whole replica on each device that holds one and is worth it, pipelines of devices that do not,
 * stages with replicas where one device is too slow; all groups meet at the server, each weighed by its samples. Asked for
 * `interleaved`, the devices of a pipeline get several stages each where that is faster.
 * Pure and deterministic. Throws LongtailError `no-plan` that says in figures what is missing.
 */
export function createPlan(profile: ModelProfile, cluster: MeasuredCluster, request: PlanRequest, options: PlanOptions = {}): Plan {
  const model = new CostModel(profile, cluster, request);
  const { solution, exact, boundMs } = search(model);
  if (solution === undefined) throw shortfall(model);
  const { scenario } = solution;
  const { makespanOf = estimateMakespan } = options;
  const turns = request.schedule === 'interleaved';
  const groups = solution.groups.map(({ layout, samples }) => (turns ? inTurns(model, layout, samples, makespanOf) : layout));
  const body = planFor(model, { groups, scenario: scenario.alone ? scenario : scenarioOf(model, groups) }, makespanOf);
  return complete(
    body,
    leftOut(model, devicesOf(body), scenario, body.roundMs),
    exact && !turns ? 'exact' : 'heuristic',
    samplesPerSecondOf(request, boundMs),
  );
}
