import { LongtailError, nodesOf } from '@longtail/core';
import type { DeviceProfile, GroupLayout, Job, LayoutNode, LayoutPlan, LayoutRequest, MeasuredCluster, ModelProfile, Plan, PlannedGroup, RunLayout } from '@longtail/core';
import { CostModel, createPlan, planLayout, planRequestFor } from '@longtail/planner';
import { explicitLayout } from '@longtail/runtime';
import { exactMakespan } from './exact-makespan.js';

/** What the portable engines keep of a GPT's microbatch: their tape has every step between, and the weights transposed. */
const TAPE = { factor: 1.8, parameterCopies: 1 };

/** A solo worker computes its share in slices of at least so many samples. */
const SOLO_SAMPLES = 8;

/**
 * Lays a job out as it says itself, or every worker solo where all hold the model; else the planner lays it over those who
 * are free. Groups that stand are never disturbed; those who come later, or are left of a group that broke, form groups of
 * their own, or wait as spares until they can. With the layout goes what is expected of it.
 */
export function plannedLayout(profileOf: (job: Job) => ModelProfile | undefined): LayoutPlan {
  return (request) => {
    const profile = profileOf(request.job);
    if (profile === undefined) return explicitLayout(request);
    if (request.job.cluster.layout !== undefined) return expecting(explicitLayout(request), request, profile);
    const cluster = clusterOf(request.nodes);
    const model = new CostModel(profile, cluster, planRequestFor(request.job));
    const smallest = Math.min(...model.request.microbatches);
    const everybody = request.nodes.every((_, i) => model.recomputeFor(i, 0, profile.blocks.length, smallest, 1) !== undefined);
    return everybody ? explicitLayout(request) : overTheFree(request, profile);
  };
}

function overTheFree(request: LayoutRequest, profile: ModelProfile): RunLayout {
  const { job, nodes, current, begun } = request;
  const missing = begun ? 0 : job.cluster.minWorkers - nodes.length;
  if (missing > 0) {
    return { groups: current, lacks: `${missing} more worker${missing === 1 ? '' : 's'} to plan with`, reason: 'as long as not all are here' };
  }
  const seated = new Set(current.flatMap(nodesOf));
  const free = nodes.filter(({ node }) => !seated.has(node));
  const { plan, shortfall } = planOver(free, job, profile);
  const planned = plan?.groups.flatMap((group) => groupsOf(group, plan)) ?? [];
  if (plan !== undefined && current.length === 0) return { groups: planned, lacks: undefined, reason: 'as the planner finds best', plan };
  const groups = [...current, ...planned];
  const reason = shortfall === undefined ? 'those who are free join those who are at work' : shortfall;
  return expecting({ groups, lacks: groups.length === 0 ? shortfall : undefined, reason }, request, profile);
}

/** Undefined, and why, where they hold no model between them. */
function planOver(nodes: readonly LayoutNode[], job: Job, profile: ModelProfile): { readonly plan?: Plan; readonly shortfall?: string } {
  if (nodes.length === 0) return {};
  const request = planRequestFor(job);
  try {
    return { plan: createPlan(profile, clusterOf(nodes), request, { makespanOf: exactMakespan(request.schedule) }) };
  } catch (error) {
    if (error instanceof LongtailError && error.code === 'no-plan') return { shortfall: error.message };
    throw error;
  }
}

/**
 * The layout with what is to be expected of it; as it is where it is not whole, its stages do not make up the model, or
 * workers hold several stages, which the planner knows nothing of.
 */
function expecting(layout: RunLayout, { job, nodes }: LayoutRequest, profile: ModelProfile): RunLayout {
  const { groups, lacks } = layout;
  const blocks = profile.blocks.length;
  const rangeOf = (range: GroupLayout['stages'][number]['blocks']) => (range === 'all' ? { start: 0, end: blocks } : range);
  const isWhole = ({ stages }: GroupLayout) => rangeOf(stages.at(-1)!.blocks).end === blocks && stages.every((stage) => rangeOf(stage.blocks).start < blocks);
  const inTurns = groups.some((group) => nodesOf(group).length < group.stages.flatMap((stage) => stage.nodes).length);
  if (lacks !== undefined || groups.length === 0 || !groups.every(isWhole) || inTurns) return layout;
  const request = planRequestFor(job);
  const index = new Map(nodes.map(({ node }, i) => [node, i]));
  const given = groups.map(({ stages, microbatch, recompute = false }) => ({
    microbatch: stages.length === 1 ? Math.min(SOLO_SAMPLES, job.train.batch) : microbatch,
    stages: stages.map((stage) => ({ ...rangeOf(stage.blocks), devices: stage.nodes.map((node) => index.get(node)!), recompute })),
  }));
  const plan = planLayout(profile, clusterOf(nodes), request, given, { makespanOf: exactMakespan(request.schedule) });
  return { ...layout, groups: groups.map((group) => withRoom(group, plan)), plan };
}

/** A group of the job's own, with the stashes that its devices have room for. */
function withRoom(group: GroupLayout, plan: Plan): GroupLayout {
  const planned = plan.groups.find(({ stages }) => stages[0]!.devices[0]!.device === group.stages[0]!.nodes[0]);
  if (group.stages.length === 1 || group.maxStash !== undefined || planned === undefined) return group;
  return { ...group, maxStash: roomOf(planned) };
}

function roomOf({ stages }: PlannedGroup): readonly number[] {
  return stages.map(({ stashCap }) => stashCap);
}

/** Devices that each hold the whole model add their gradients up at the server: each is a group of its own. */
function groupsOf(group: PlannedGroup, { schedule }: Plan): readonly GroupLayout[] {
  const { stages, microbatch } = group;
  const places = stages.map(({ blocks, devices }) => ({ blocks, nodes: devices.map(({ device }) => device) }));
  if (places.length === 1) return places[0]!.nodes.map((node) => ({ stages: [{ blocks: 'all', nodes: [node] }], microbatch: 1, schedule }));
  const recompute = stages.some((stage) => stage.recompute);
  return [{ stages: places, microbatch, schedule, recompute, maxStash: roomOf(group) }];
}

/** Links are not measured yet: all nodes are taken to be equally well off, so that speed and memory decide. */
const ASSUMED_LINK = { upBitsPerSecond: 1e9, downBitsPerSecond: 1e9, roundTripMs: 1, linkAssumed: true };

function clusterOf(nodes: readonly LayoutNode[]): MeasuredCluster {
  return { devices: nodes.map(deviceOf), lans: [], peers: [] };
}

function deviceOf({ node, name, device }: LayoutNode): DeviceProfile {
  const { engine, gflops, memoryBytes } = device;
  return {
    id: node,
    name,
    // Without a measurement (the plain engine) all are equal.
    flopsPerSecond: 1e9 * (gflops || 1),
    memoryBytes,
    ...(engine === 'tensorflow' ? {} : { stash: TAPE }),
    ...ASSUMED_LINK,
  };
}
