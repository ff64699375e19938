import type { MeasuredCluster, ModelProfile, Plan, PlannedGroup, SyncFleet, SyncGroup, SyncLink } from '@longtail/core';

/** Who exchanges with the server under a plan, for `sync: auto` to choose by. Its devices are those of the cluster. */
export function syncFleetOf({ groups }: Plan, profile: ModelProfile, cluster: MeasuredCluster): SyncFleet {
  return { groups: groups.flatMap((group) => groupsOf(group, profile, cluster)), server: cluster.server };
}

/** Devices that each hold the whole model are groups of their own. */
function groupsOf({ stages, samples, stepMs }: PlannedGroup, profile: ModelProfile, { devices }: MeasuredCluster): readonly SyncGroup[] {
  const linkOf = (id: string): SyncLink => {
    const { name, upBitsPerSecond, downBitsPerSecond, roundTripMs } = devices.find((device) => device.id === id)!;
    return { name, values: valuesOf(id, stages, profile), upBitsPerSecond, downBitsPerSecond, roundTripMs };
  };
  if (stages.length === 1) return stages[0]!.devices.map(({ device, samples: own }) => ({ node: device, msPerSample: stepMs / own, links: [linkOf(device)] }));
  const ids = [...new Set(stages.flatMap((stage) => stage.devices.map(({ device }) => device)))];
  return [{ node: ids.join('+'), msPerSample: stepMs / samples, links: ids.map(linkOf) }];
}

/** Parameters of all that a device holds: what its blocks share once. */
function valuesOf(id: string, stages: PlannedGroup['stages'], profile: ModelProfile): number {
  const held = stages.filter(({ devices }) => devices.some(({ device }) => device === id));
  const blocks = held.flatMap(({ blocks: { start, end } }) => profile.blocks.slice(start, end));
  const tied = new Map(blocks.flatMap((block) => block.tied.map(({ name, parameters }) => [name, parameters] as const)));
  return [...blocks.map(({ parameters }) => parameters), ...tied.values()].reduce((sum, parameters) => sum + parameters, 0);
}
