import { createRng, LongtailError, nodesOf, type DeviceProfile, type GroupLayout, type LayoutNode, type LayoutPlan, type LayoutRequest, type MeasuredPeerLink, type ModelProfile, type RunLayout } from '@longtail/core';
import { plannedLayout } from '@longtail/layout';
import { CostModel, measuredCluster, planRequestFor } from '@longtail/planner';
import { explicitLayout } from '@longtail/runtime';
import { LINK_CLASSES, type PlannerPolicy } from '@longtail/spec';
import type { DrawnFleet } from './fleet.js';

/** Of a fleet what a planner is told. */
type Described = Pick<DrawnFleet, 'peers'> & { readonly machines: readonly Pick<DrawnFleet['machines'][number], 'device'>[] };

/** How a policy lays the job over whoever is there, by what the scenario says of them: nothing has to be measured. */
export function layoutBy(policy: PlannerPolicy, profile: ModelProfile, fleet: Described, seed: number): LayoutPlan {
  const planned = plannedLayout(() => profile);
  const devices = new Map(fleet.machines.map(({ device }) => [device.name, device]));
  return (asked) => {
    const nodes = asked.nodes.map((node) => described(node, devices.get(node.name)!));
    const request = { ...asked, nodes, peers: between(nodes, fleet.peers) };
    switch (policy) {
      case 'planned':
        return planned(request);
      case 'solo':
        return explicitLayout({ ...request, nodes: holders(request, profile) });
      case 'equal':
        return changed(planned(request), request, (groups) => groups.map((group) => evenly(group, profile)));
      case 'random':
        return changed(planned(request), request, (groups) => inOtherPlaces(groups, seed));
    }
  };
}

function described(node: LayoutNode, { flopsPerSecond, handOverMs, callMs, upBitsPerSecond, downBitsPerSecond, roundTripMs }: DeviceProfile): LayoutNode {
  return { ...node, device: { ...node.device, gflops: flopsPerSecond / 1e9 }, link: { upBitsPerSecond, downBitsPerSecond, roundTripMs }, blocks: [], handOverMs, callMs };
}

/** Links go by the names of machines, a run by the ids of nodes. */
function between(nodes: readonly LayoutNode[], peers: readonly MeasuredPeerLink[]): readonly MeasuredPeerLink[] {
  const ids = new Map(nodes.map(({ name, node }) => [name, node]));
  return peers.flatMap(({ between: [a, b], ...link }) => {
    const [first, second] = [ids.get(a), ids.get(b)];
    return first === undefined || second === undefined ? [] : [{ ...link, between: [first, second] as const }];
  });
}

/** Nodes with the memory for the whole model. */
function holders({ job, nodes }: LayoutRequest, profile: ModelProfile): readonly LayoutNode[] {
  const { up, down, rtt } = LINK_CLASSES.datacenter;
  const cluster = measuredCluster(nodes, { peers: [], assumedLink: { upBitsPerSecond: up, downBitsPerSecond: down, roundTripMs: rtt }, profile });
  const model = new CostModel(profile, cluster, planRequestFor(job));
  const able = nodes.filter((_, i) => model.memory.holds(i));
  if (able.length > 0 || nodes.length === 0) return able;
  throw new LongtailError('no machine has the memory for the whole model', { code: 'no-plan' });
}

/** Groups that stand stay; what was expected of the others no longer holds. */
function changed(layout: RunLayout, { current }: LayoutRequest, change: (groups: readonly GroupLayout[]) => readonly GroupLayout[]): RunLayout {
  const fresh = layout.groups.filter((group) => !current.includes(group));
  if (!fresh.some(({ stages }) => stages.length > 1)) return layout;
  const { plan: _, ...rest } = layout;
  const groups = change(fresh.map(({ stages, microbatch, schedule }) => ({ stages, microbatch, schedule })));
  return { ...rest, groups: [...layout.groups.filter((group) => current.includes(group)), ...groups] };
}

/** Stages of equally many blocks. */
function evenly(group: GroupLayout, { blocks }: ModelProfile): GroupLayout {
  const count = group.stages.length;
  if (count === 1) return group;
  const at = (stage: number) => Math.round((stage * blocks.length) / count);
  return { ...group, stages: group.stages.map((stage, i) => ({ ...stage, blocks: { start: at(i), end: at(i + 1) } })) };
}

/** Each device has the place of another one, in all its stages. */
function inOtherPlaces(groups: readonly GroupLayout[], seed: number): readonly GroupLayout[] {
  const rng = createRng(`${seed}/places`);
  const nodes = groups.flatMap(nodesOf);
  const order = [...nodes];
  for (let i = order.length - 1; i > 0; i--) {
    const j = rng.below(i + 1);
    [order[i], order[j]] = [order[j]!, order[i]!];
  }
  const placed = new Map(nodes.map((node, i) => [node, order[i]!]));
  return groups.map((group) => ({ ...group, stages: group.stages.map((stage) => ({ ...stage, nodes: stage.nodes.map((node) => placed.get(node)!) })) }));
}
