import { ASSUMED_LINK, LongtailError, nodesOf } from '@longtail/core';
import type { ExpectedSpeed, GroupLayout, Job, LayoutNode, LayoutPlan, LayoutRequest, MeasuredCluster, ModelProfile, Plan, PlannedGroup, Replan, RunLayout } from '@longtail/core';
import { considerReplan, CostModel, createPlan, measuredCluster, planRequestFor, type ReplanDecision } from '@longtail/planner';
import { explicitLayout } from '@longtail/runtime';
import { planWithSync } from './auto-plan.js';
import { codingTimes } from './coding-times.js';
import { exactMakespan } from './exact-makespan.js';
import { isWhole, planGiven } from './given-layout.js';

/**
 * Lays a job out as it says itself, or every worker solo where all hold the model; else as the planner finds best. Groups
 * that are at work move where that pays (ADR 18); else those who come later, or are left of a group that broke, form groups
 * of their own, or wait as spares until they can. With the layout goes what is expected of it.
 */
export function plannedLayout(profileOf: (job: Job) => ModelProfile | undefined): LayoutPlan {
  return (request) => {
    const profile = profileOf(request.job);
    if (profile === undefined) return explicitLayout(request);
    if (request.job.cluster.layout !== undefined) return ofItsOwn(request, profile);
    return isHeldByAll(request, profile) ? explicitLayout(request) : overTheFree(request, profile);
  };
}

/** The planner is to search for the layout: nobody knows how long that takes. */
export function isSearchedFor(request: LayoutRequest, profile: ModelProfile): boolean {
  const { job, nodes, begun } = request;
  if (job.cluster.layout !== undefined || isHeldByAll(request, profile)) return false;
  return begun || (missingOf(request) <= 0 && wantedOf(nodes, job) === undefined);
}

function isHeldByAll(request: LayoutRequest, profile: ModelProfile): boolean {
  const model = new CostModel(profile, clusterOf(request.nodes, request, profile), planRequestFor(request.job));
  return request.nodes.every((_, i) => model.memory.holds(i));
}

function missingOf({ begun, job, nodes }: LayoutRequest): number {
  return begun ? 0 : job.cluster.minWorkers - nodes.length;
}

/** As the job says. Of its pipelines is known what to expect once their workers were measured. */
function ofItsOwn(request: LayoutRequest, profile: ModelProfile): RunLayout {
  const layout = explicitLayout(request);
  const { begun, current, job } = request;
  const isPipelined = job.cluster.layout!.some((stages) => stages.length > 1);
  // A group that stands before the others are here would begin to build before anybody is measured.
  if (isPipelined && !begun && layout.lacks !== undefined) return { ...layout, groups: current };
  const wants = isPipelined && !begun && current.length === 0 ? wantedOf(request.nodes, job) : undefined;
  return wants === undefined ? expecting(layout, request, profile) : { groups: [], lacks: FIGURES, reason: layout.reason, wants };
}

function overTheFree(request: LayoutRequest, profile: ModelProfile): RunLayout {
  const { job, nodes, begun, standing } = request;
  // Before training has begun nothing is lost by another place.
  const current = begun ? request.current : [];
  const missing = missingOf(request);
  if (missing > 0) {
    return { groups: current, lacks: `${missing} more worker${missing === 1 ? '' : 's'} to plan with`, reason: 'as long as not all are here' };
  }
  const free = freeOf(nodes, current);
  const wants = wantedOf(free, job);
  if (wants === undefined) return overTheMeasured({ ...request, current }, free, profile);
  if (!begun) return { groups: current, lacks: current.length === 0 ? FIGURES : undefined, reason: 'those who are free are measured', wants };
  const isMeasured = ({ node }: LayoutNode): boolean => !wants.nodes.includes(node);
  const meanwhile = overTheMeasured({ ...request, current, nodes: nodes.filter(isMeasured) }, free.filter(isMeasured), profile);
  // That they move without those who are measured now is no reason to leave these out then.
  if (meanwhile.groups.length > 0) return { ...meanwhile, wants, replan: meanwhile.replan && { ...meanwhile.replan, settles: standing?.settles } };
  const names = free.filter((node) => !isMeasured(node)).map(({ name }) => name);
  const [measures, is] = names.length === 1 ? ['measures', 'is'] : ['measure', 'are'];
  return { groups: current, lacks: `what ${names.join(', ')} ${measures}`, reason: `${names.join(', ')} ${is} measured first`, wants };
}

function overTheMeasured(request: LayoutRequest, free: readonly LayoutNode[], profile: ModelProfile): RunLayout {
  const { current } = request;
  const decision = replanned(request, profile);
  const replan = decision && replanOf(decision);
  if (decision?.plan !== undefined) {
    const { plan: next, reason } = decision;
    return { groups: next.groups.flatMap(groupsOf), lacks: undefined, reason, plan: next, replan };
  }
  const leftOut = new Set(request.standing?.plan.leftOut.map(({ device }) => device));
  if (current.length > 0 && free.every(({ node }) => leftOut.has(node))) return { groups: current, lacks: undefined, reason: 'nobody is new', replan };
  const { plan, shortfall } = planOver(free, request, profile);
  const planned = plan?.groups.flatMap(groupsOf) ?? [];
  if (plan !== undefined && current.length === 0) return { groups: planned, lacks: undefined, reason: 'as the planner finds best', plan };
  const groups = [...current, ...planned];
  if (groups.length === 0 && shortfall !== undefined) return { groups, lacks: 'memory', shortfall, reason: shortfall.message, replan };
  const reason = shortfall?.message ?? 'those who are free join those who are at work';
  return expecting({ groups, lacks: undefined, reason, replan }, request, profile);
}

/** Who has no place in these groups. */
function freeOf(nodes: readonly LayoutNode[], groups: readonly GroupLayout[]): readonly LayoutNode[] {
  const seated = new Set(groups.flatMap(nodesOf));
  return nodes.filter(({ node }) => !seated.has(node));
}

/** How long things are taken to stay as they are. */
const HORIZON_MS = 600_000;

/** Whether those who are at work should move, for all who are here; undefined where nothing changed that matters. */
function replanned(request: LayoutRequest, profile: ModelProfile): ReplanDecision | undefined {
  const { standing, nodes, job } = request;
  if (standing === undefined) return undefined;
  const { plan: current, remainingMs, ...rest } = standing;
  const planRequest = planRequestFor(job);
  try {
    const decision = considerReplan({
      ...rest,
      current,
      profile,
      cluster: clusterOf(nodes, request, profile),
      request: planRequest,
      horizonMs: Math.min(HORIZON_MS, remainingMs),
      makespanOf: exactMakespan(),
    });
    return decision.changed ? decision : undefined;
  } catch (error) {
    if (error instanceof LongtailError && error.code === 'no-plan') return undefined;
    throw error;
  }
}

function replanOf({ plan, reason, movingBytes, movingMs, settles }: ReplanDecision): Replan {
  return { moves: plan !== undefined, reason, movingBytes, movingMs, settles };
}

const FIGURES = 'what its workers measure';

/** Samples a pass that blocks are timed at; what lies between is interpolated, and larger ones take in proportion. */
const TIMED = [1, 4, 16];

/** What is not known yet of these nodes; undefined when they were all asked. */
function wantedOf(nodes: readonly LayoutNode[], job: Job): RunLayout['wants'] {
  const unmeasured = nodes.filter(({ blocks }) => blocks === undefined).map(({ node }) => node);
  const { microbatches } = planRequestFor(job);
  return unmeasured.length === 0 ? undefined : { nodes: unmeasured, microbatches: microbatches.length === 1 ? microbatches : TIMED };
}

/** Undefined, and why, where they hold no model between them. */
function planOver(nodes: readonly LayoutNode[], of: LayoutRequest, profile: ModelProfile): { readonly plan?: Plan; readonly shortfall?: LongtailError } {
  if (nodes.length === 0) return {};
  const cluster = clusterOf(nodes, of, profile);
  try {
    return planWithSync(of.job, profile, cluster, (request) => createPlan(profile, cluster, request, { makespanOf: exactMakespan() }), codingTimes);
  } catch (error) {
    if (error instanceof LongtailError && error.code === 'no-plan') return { shortfall: error };
    throw error;
  }
}

/** The layout with what is to be expected of it; as it is where it is not whole or its stages do not make up the model. */
function expecting(layout: RunLayout, of: LayoutRequest, profile: ModelProfile): RunLayout {
  const { job, nodes } = of;
  const { groups, lacks } = layout;
  // The times of some blocks and the GFLOP/s of other devices do not compare.
  const asked = nodes.filter(({ node }) => groups.some((group) => nodesOf(group).includes(node))).map(({ blocks }) => blocks !== undefined);
  if (lacks !== undefined || groups.length === 0 || !groups.every((group) => isWhole(group, profile)) || new Set(asked).size > 1) return layout;
  const { groups: decided, plan } = planGiven(groups, profile, clusterOf(nodes, of, profile), planRequestFor(job));
  return { ...layout, groups: decided.map((group) => asPlanned(group, plan)), plan };
}

/** A group of the job's own, with what the plan says of it; without the stashes that its devices have room for where it says that itself. */
function asPlanned(group: GroupLayout, plan: Plan): GroupLayout {
  const planned = plan.groups.find(({ stages }) => stages[0]!.devices[0]!.device === group.stages[0]!.nodes[0]);
  if (planned === undefined) return group;
  return group.stages.length === 1 ? { ...group, expected: expectedOf(planned) } : { ...scheduled(planned), ...group };
}

/** What a pipeline's workers are to go by: not what each measured of its stage while the others of its host were at the same. */
function scheduled(group: PlannedGroup): Pick<GroupLayout, 'timings' | 'maxStash' | 'expected'> {
  return { timings: group.stages.map(({ timing }) => timing), maxStash: group.stages.map(({ stashCap }) => stashCap), expected: expectedOf(group) };
}

/** The plan's own time for the group's samples, told apart as the runtime measures it: of local steps nothing overlaps with an exchange. */
function expectedOf({ stages, microbatch, samples, steps, stepMs, exchangeMs }: PlannedGroup): ExpectedSpeed {
  if (steps !== 1) return { msPerSample: stepMs / samples, exchangeMs };
  const computeMs = new Map<string, number>();
  for (const { device, forwardMs, backwardMs, samples: own } of stages.flatMap(({ devices }) => devices)) {
    computeMs.set(device, (computeMs.get(device) ?? 0) + ((forwardMs + backwardMs) * own) / microbatch);
  }
  const busiestMs = Math.max(...computeMs.values());
  return { msPerSample: busiestMs / samples, exchangeMs: Math.max(0, stepMs - busiestMs) + exchangeMs };
}

/** Devices that each hold the whole model add their gradients up at the server: each is a group of its own. */
function groupsOf(group: PlannedGroup): readonly GroupLayout[] {
  const { stages, microbatch, schedule } = group;
  const places = stages.map(({ blocks, devices, recompute }) => ({ blocks, nodes: devices.map(({ device }) => device), ...(recompute ? { recompute } : {}) }));
  if (places.length > 1) return [{ stages: places, microbatch, schedule, ...scheduled(group) }];
  return stages[0]!.devices.map((device) => {
    const alone = { ...group, samples: device.samples, stages: [{ ...stages[0]!, devices: [device] }] };
    return { stages: [{ blocks: 'all', nodes: [device.device] }], microbatch: 1, schedule, expected: expectedOf(alone) };
  });
}

function clusterOf(nodes: readonly LayoutNode[], { peers }: LayoutRequest, profile: ModelProfile): MeasuredCluster {
  return measuredCluster(nodes, { peers, assumedLink: ASSUMED_LINK, profile });
}
