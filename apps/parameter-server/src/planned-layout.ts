import {
  formatBytes,
  LongtailError,
  CODEC_BITS,
  localStateCount,
  type DeviceProfile,
  type GroupLayout,
  type Job,
  type LayoutNode,
  type LayoutPlan,
  type LayoutRequest,
  type ModelProfile,
  type PlanRequest,
  type RunLayout,
} from '@longtail/core';
import { CostModel, createPlan } from '@longtail/planner';
import { explicitLayout } from '@longtail/runtime';

/** Sizes of microbatches to choose from: larger ones fill a pipeline badly. */
const MICROBATCHES = [1, 2, 4, 8];
/** Part of what a worker offers that is planned with: what a pass keeps is estimated from shapes, and its own count, from a real pass, is higher. */
const PLANNED_PART = 0.65;
const VALUE_BYTES = 4;

/**
 * Lays a job out as it says itself, else by what its model takes: workers that hold all of it are solo, and of those that
 * do not the planner makes pipelines. Groups that stand are never disturbed; those who come later, or are left of a group
 * that broke, form groups of their own, or wait as spares until they can.
 */
export function plannedLayout(profileOf: (job: Job) => ModelProfile | undefined): LayoutPlan {
  return (request) => {
    const profile = request.job.cluster.layout === undefined ? profileOf(request.job) : undefined;
    if (profile === undefined) return explicitLayout(request);
    const wholeBytes = bytesOfWhole(profile, request.job);
    const holds = ({ device }: LayoutNode) => wholeBytes <= PLANNED_PART * device.memoryBytes;
    if (request.nodes.every(holds)) return explicitLayout(request);
    return withPipelines(request, profile, { holds, wholeBytes });
  };
}

function withPipelines(
  request: LayoutRequest,
  profile: ModelProfile,
  { holds, wholeBytes }: { readonly holds: (node: LayoutNode) => boolean; readonly wholeBytes: number },
): RunLayout {
  const { job, nodes, current, begun } = request;
  const standing = current.filter(({ stages }) => stages.length > 1);
  const seated = new Set(standing.flatMap(({ stages }) => stages.map(({ node }) => node)));
  const free = nodes.filter(({ node }) => !seated.has(node));
  const solos = free.filter(holds).map(solo);
  const missing = begun ? 0 : job.cluster.minWorkers - nodes.length;
  if (missing > 0) return { groups: [...standing, ...solos], lacks: `${missing} more worker${missing === 1 ? '' : 's'} to plan with`, reason: 'as long as not all are here' };
  const { pipelines, shortfall } = pipelinesOf(job, profile, free.filter((node) => !holds(node)));
  const groups = [...standing, ...pipelines, ...solos];
  const need = `the whole model takes ${formatBytes(wholeBytes)}`;
  return {
    groups,
    lacks: groups.length === 0 ? shortfall : undefined,
    reason: shortfall === undefined ? `${need}: pipelines of those that offer less` : `${need}; ${shortfall}`,
  };
}

/** Pipelines of nodes none of which holds the model; and why there are none, where that is so. */
function pipelinesOf(
  job: Job,
  profile: ModelProfile,
  nodes: readonly LayoutNode[],
): { readonly pipelines: readonly GroupLayout[]; readonly shortfall?: string } {
  if (nodes.length === 0) return { pipelines: [] };
  try {
    const plan = createPlan(profile, { devices: nodes.map(deviceOf), lans: [], peers: [] }, requestFor(job));
    const pipelines = plan.groups.map(({ stages, microbatch }): GroupLayout => ({
      stages: stages.map(({ blocks, devices }) => ({ node: devices[0]!.device, blocks })),
      microbatch,
      schedule: plan.schedule,
      recompute: stages.some(({ recompute }) => recompute),
    }));
    return { pipelines };
  } catch (error) {
    if (error instanceof LongtailError && error.code === 'no-plan') return { pipelines: [], shortfall: error.message };
    throw error;
  }
}

function solo({ node }: LayoutNode): GroupLayout {
  return { stages: [{ node, blocks: 'all' }], microbatch: 1, schedule: 'capped-1f1b' };
}

/** Links are not measured yet: all nodes are taken to be equally well off, so that speed and memory decide. */
const ASSUMED_LINK = { upBitsPerSecond: 1e9, downBitsPerSecond: 1e9, roundTripMs: 1, linkAssumed: true };

function deviceOf({ node, name, device }: LayoutNode): DeviceProfile {
  return {
    id: node,
    name,
    // Without a measurement (the plain engine) all are equal.
    flopsPerSecond: 1e9 * (device.gflops || 1),
    memoryBytes: PLANNED_PART * device.memoryBytes,
    ...ASSUMED_LINK,
  };
}

function requestFor({ train, sync, cluster }: Job): PlanRequest {
  const bits = CODEC_BITS[sync.codec];
  return {
    batch: train.batch,
    stepsPerRound: 1,
    microbatches: cluster.microbatch === undefined ? MICROBATCHES.filter((size) => size <= train.batch) : [cluster.microbatch],
    // Beside value and gradient: both once more where the event loop has them, the gradient of the pass under way, and the
    // moments twice, as a worker that is alone runs the optimizer. In a pipeline the server does: there they are to spare.
    stateBytesPerParameter: VALUE_BYTES * (3 + 2 * localStateCount(train.optimizer)),
    upBitsPerValue: bits,
    downBitsPerValue: bits,
    activationBits: CODEC_BITS[sync.activationCodec ?? 'fp32'],
    recompute: 'allowed',
    schedule: cluster.schedule ?? 'capped-1f1b',
    workspaceBytes: 0,
  };
}

/** What a solo worker takes at least. */
function bytesOfWhole(profile: ModelProfile, job: Job): number {
  const request = requestFor(job);
  const { costs } = new CostModel(profile, { devices: [], lans: [], peers: [] }, request);
  return costs.memory(0, profile.blocks.length, Math.min(...request.microbatches), 1, false).total;
}
