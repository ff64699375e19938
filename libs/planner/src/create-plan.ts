import type { OwnSteps, MakespanOf, MeasuredCluster, ModelProfile, Plan, PlanRequest } from '@longtail/core';
import { inTurns } from './in-turns.js';
import { CostModel } from './cost-model.js';
import type { GroupDraft } from './group-draft.js';
import { leftOut } from './left-out.js';
import { inTime } from './local-steps.js';
import { estimateMakespan } from './makespan.js';
import { complete, devicesOf, planFor, samplesPerSecondOf, stepsOf } from './plan-for.js';
import { scenarioOf } from './scenarios.js';
import { search } from './search.js';
import { shortfall } from './shortfall.js';

export interface PlanOptions {
  /** The schedule's exact time of a pipeline; default: fill and bottleneck. The search always estimates. */
  readonly makespanOf?: MakespanOf;
}

/** Plans for a batch of all groups that follows from the groups of the plan before. */
const TURNS = 4;
/** A batch or a round closer than this lays nobody elsewhere. */
const CLOSE = 0.1;

/**
 * Lays a job over a cluster: a whole replica on each device that holds one and is worth it, pipelines of devices that do not,
 * stages with replicas where one device is too slow; all groups meet at the server, each weighed by its samples. Asked for
 * `interleaved`, the devices of a pipeline get several stages each where that is faster.
 * With local steps it is planned for groups that share a batch at each step, as large as makes the part of the one that sets the pace a
 * batch of its own: what that is follows from the plan, so it is planned again until it stands.
 * Pure and deterministic. Throws LongtailError `no-plan` that says in figures what is missing.
 */
export function createPlan(profile: ModelProfile, cluster: MeasuredCluster, request: PlanRequest, options: PlanOptions = {}): Plan {
  if (request.local === undefined) return planned(new CostModel(profile, cluster, request), options);
  let asked = { ...request, batch: firstBatch(new CostModel(profile, cluster, request), request.local) };
  for (let turn = 1; ; turn++) {
    const plan = planned(new CostModel(profile, cluster, asked), options);
    const { stepsPerRound, samplesPerRound } = plan;
    const batch = Math.round(samplesPerRound / stepsPerRound);
    if (turn === TURNS || (isClose(batch, asked.batch) && isClose(stepsPerRound, asked.stepsPerRound))) return plan;
    asked = { ...asked, batch, stepsPerRound };
  }
}

function isClose(a: number, b: number): boolean {
  return Math.abs(a / b - 1) <= CLOSE;
}

/** All devices at their speeds, the fastest that holds the model at its own batch. */
function firstBatch(model: CostModel, { batch }: OwnSteps): number {
  const { costs, cluster, request } = model;
  const smallest = Math.min(...request.microbatches);
  const rates = cluster.devices.map((device) => {
    const { forwardMs, backwardMs } = costs.passMs(device, 0, costs.blocks, smallest, false);
    return 1 / Math.max(1e-9, forwardMs + backwardMs);
  });
  const holders = rates.filter((_, i) => model.memory.holds(i));
  const fastest = (holders.length > 0 ? holders : rates).reduce((most, rate) => Math.max(most, rate));
  return Math.max(batch, Math.round((batch * rates.reduce((sum, rate) => sum + rate, 0)) / fastest));
}

function planned(model: CostModel, { makespanOf = estimateMakespan }: PlanOptions): Plan {
  const { request } = model;
  const { solution, exact, boundMs } = search(model);
  if (solution === undefined) throw shortfall(model);
  const { scenario } = solution;
  const turns = request.schedule === 'interleaved';
  const found = solution.groups.map(({ layout, samples }) => (turns ? inTurns(model, layout, request.local?.batch ?? samples, makespanOf) : layout));
  const groups = request.local === undefined ? found : worthTheirTime(model, found.flatMap(apart), request.local, makespanOf);
  const body = planFor(model, { groups, scenario: scenario.alone ? scenario : scenarioOf(model, groups) }, makespanOf);
  return complete(
    body,
    leftOut(model, devicesOf(body), scenario, body.roundMs),
    exact && !turns ? 'exact' : 'heuristic',
    samplesPerSecondOf(request, boundMs),
  );
}

/** Devices that each hold the whole model step each for itself. */
function apart(group: GroupDraft): readonly GroupDraft[] {
  const [first, ...others] = group.stages;
  return others.length > 0 ? [group] : first!.devices.map((device) => ({ ...group, stages: [{ ...first!, devices: [device] }] }));
}

function worthTheirTime(model: CostModel, groups: readonly GroupDraft[], local: OwnSteps, makespanOf: MakespanOf): readonly GroupDraft[] {
  return inTime(stepsOf(model, { groups, scenario: scenarioOf(model, groups) }, makespanOf), local).map(({ group }) => group);
}
