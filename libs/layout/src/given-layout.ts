import { formatBytes, LongtailError } from '@longtail/core';
import type { DeviceProfile, GroupLayout, Job, LayoutNode, MeasuredCluster, ModelProfile, Plan, PlanRequest, StagePlace } from '@longtail/core';
import { CostModel, planLayout } from '@longtail/planner';
import { explicitLayout } from '@longtail/runtime';
import { exactMakespan } from './exact-makespan.js';

/** A solo worker computes its share in slices of at least so many samples. */
const SOLO_SAMPLES = 8;

/**
 * What is expected of groups that were given, not searched for, whose nodes are devices of the cluster; and the groups with
 * what that decides: stages of a pipeline that nothing was planned of compute again what their devices have no room to keep.
 */
export function planGiven(
  groups: readonly GroupLayout[],
  profile: ModelProfile,
  cluster: MeasuredCluster,
  request: PlanRequest,
): { readonly groups: readonly GroupLayout[]; readonly plan: Plan } {
  const index = new Map(cluster.devices.map(({ id }, i) => [id, i]));
  const model = new CostModel(profile, cluster, request);
  const onDevices = ({ stages, microbatch }: GroupLayout) => ({
    microbatch: stages.length === 1 ? Math.min(SOLO_SAMPLES, request.batch) : microbatch,
    stages: stages.map(({ blocks, nodes, recompute = false }) => ({
      ...rangeOf(blocks, profile),
      devices: nodes.map((node) => index.get(node)!),
      recompute,
    })),
  });
  const decided = groups.map((group) => {
    if (group.stages.length === 1 || group.maxStash !== undefined) return group;
    const drawn = onDevices(group);
    return { ...group, stages: group.stages.map((stage, i) => (model.memory.recomputeIn(drawn, i) === true ? { ...stage, recompute: true } : stage)) };
  });
  return { groups: decided, plan: planLayout(profile, cluster, request, decided.map(onDevices), { makespanOf: exactMakespan() }) };
}

/**
 * What is expected of a job's own layout over these devices, by name or by number. Throws LongtailError `no-plan` where the
 * layout names others, its stages do not make up the model, or a device has not the memory.
 */
export function planOwnLayout(job: Job, profile: ModelProfile, cluster: MeasuredCluster, request: PlanRequest): Plan {
  requireWholeGroups(job, profile);
  const { groups, lacks } = explicitLayout({ job, nodes: cluster.devices.map(asNode), peers: cluster.peers, current: [], begun: false, model: undefined });
  if (lacks !== undefined) {
    const names = cluster.devices.map(({ name }) => name).join(', ');
    throw unplannable(`it lacks ${lacks}: there are ${names}`, 'Name them as they are here, or by their number in the order of joining, from 1.');
  }
  const { plan } = planGiven(groups, profile, cluster, request);
  for (const { blocks, names, devices } of plan.groups.flatMap(({ stages }) => stages)) {
    const small = devices.find(({ memory, offeredBytes }) => memory.total > offeredBytes);
    if (small === undefined) continue;
    const { name, device, memory, offeredBytes } = small;
    const part = blocks.end - blocks.start === 1 ? `block ${names[0]}` : `blocks ${names.join(' to ')}`;
    const hint = 'Give it fewer blocks or smaller microbatches, allow recompute, or leave out cluster.layout to have it planned.';
    throw unplannable(`${name} (${device}), which has ${part}, needs ${formatBytes(memory.total)} and offers ${formatBytes(offeredBytes)}`, hint);
  }
  return plan;
}

/** Throws LongtailError `no-plan` where the stages of a group in the job's own layout do not make up the model. */
export function requireWholeGroups({ cluster: { layout = [] } }: Job, { name, blocks }: ModelProfile): void {
  for (const stages of layout) {
    const held = stages.reduce((sum, stage) => sum + (stage.blocks ?? blocks.length), 0);
    if (held === blocks.length) continue;
    const workers = [...new Set(stages.flatMap((stage) => stage.workers))];
    const hint = `Let the stages of each group have all blocks between them: ${blocks.map((block) => block.name).join(', ')}.`;
    throw unplannable(`the stages of ${workers.join(' + ')} have ${held} blocks, ${name} has ${blocks.length}`, hint);
  }
}

function asNode({ id, name, memoryBytes, flopsPerSecond }: DeviceProfile): LayoutNode {
  return { node: id, name, device: { engine: 'cpu', description: '', memoryBytes, gflops: flopsPerSecond / 1e9, throttle: 1 } };
}

function unplannable(message: string, hint: string): LongtailError {
  return new LongtailError(`no plan for the job's own layout: ${message}`, { code: 'no-plan', where: 'cluster.layout', hint });
}

/** Whether the stages of the group make up the model. */
export function isWhole({ stages }: GroupLayout, profile: ModelProfile): boolean {
  const ranges = stages.map(({ blocks }) => rangeOf(blocks, profile));
  return ranges.at(-1)!.end === profile.blocks.length && ranges.every(({ start, end }) => start < end);
}

function rangeOf(blocks: StagePlace['blocks'], profile: ModelProfile): { readonly start: number; readonly end: number } {
  return blocks === 'all' ? { start: 0, end: profile.blocks.length } : blocks;
}
