import { stashFactorOf } from '@longtail/core';
import type { BlockTiming, BlockTimes, DeviceInfo, DeviceProfile, LayoutNode, MeasuredCluster, MeasuredLink, MeasuredPeerLink, ModelProfile } from '@longtail/core';

export interface ClusterContext {
  /** Direct links between nodes, as far as they were measured. */
  readonly peers: readonly MeasuredPeerLink[];
  /** Of nodes whose link nobody has measured. */
  readonly assumedLink: MeasuredLink;
  /** Of the model that the nodes' blocks belong to; undefined: they are known by their GFLOP/s alone. */
  readonly profile?: ModelProfile;
}

/** What there is of a node. A listed link of rate 0 was not measured. */
export type ClusterNode = Pick<LayoutNode, 'node' | 'name' | 'link' | 'maxUploadBitsPerSecond' | 'blocks' | 'handOverMs' | 'callMs' | 'pace'> & { readonly device: Pick<DeviceInfo, 'memoryBytes' | 'gflops'> & { readonly engine: string } };

/** Nodes as a planner sees them: by what was measured, where it was, and by what their engines say of themselves. */
export function measuredCluster(nodes: readonly ClusterNode[], { peers, assumedLink, profile }: ClusterContext): MeasuredCluster {
  const known = new Set(nodes.map(({ node }) => node));
  const devices = nodes.map(({ node, name, device, link, maxUploadBitsPerSecond, blocks, handOverMs, callMs, pace = 1 }): DeviceProfile => {
    const { upBitsPerSecond, downBitsPerSecond, roundTripMs } = isMeasured(link) ? link : assumedLink;
    return {
      id: node,
      name,
      // Without a measurement (the plain engine) all are equal.
      flopsPerSecond: 1e9 * (device.gflops || 1) * pace,
      ...(profile && blockTimesOf(profile, blocks ?? [], pace)),
      ...(handOverMs && { handOverMs }),
      ...(callMs && { callMs }),
      memoryBytes: device.memoryBytes,
      ...(stashFactorOf(device.engine) === 1 ? {} : { stashFactor: stashFactorOf(device.engine) }),
      upBitsPerSecond: Math.min(upBitsPerSecond, maxUploadBitsPerSecond || Infinity),
      downBitsPerSecond,
      roundTripMs,
      ...(isMeasured(link) ? {} : { linkAssumed: true }),
    };
  });
  return { devices, lans: [], peers: peers.filter(({ between }) => between.every((node) => known.has(node))) };
}

export function isMeasured(link: MeasuredLink | undefined): link is MeasuredLink {
  return link !== undefined && link.upBitsPerSecond > 0;
}

/** In the order of the model's blocks, at the pace of late; none where a block could not be measured. */
function blockTimesOf({ blocks }: ModelProfile, timings: readonly BlockTiming[], pace: number): { readonly blockTimes?: readonly BlockTimes[] } {
  const sizes = [...new Set(timings.map(({ microbatch }) => microbatch))];
  const blockTimes = sizes.flatMap((microbatch): readonly BlockTimes[] => {
    const byName = new Map(timings.filter((timing) => timing.microbatch === microbatch).map((timing) => [timing.block, timing]));
    const inOrder = blocks.flatMap(({ name }) => byName.get(name) ?? []);
    if (inOrder.length < blocks.length) return [];
    const atPace = (key: 'forwardMs' | 'backwardMs' | 'inputGradientMs' | 'forwardCallMs' | 'backwardCallMs') => inOrder.map((timing) => timing[key] / pace);
    const [forwardCallMs, backwardCallMs] = [Math.min(...atPace('forwardCallMs')), Math.min(...atPace('backwardCallMs'))];
    const recomputeMs = inOrder.map((timing) => (timing.recomputeMs || timing.forwardMs) / pace);
    const [forwardMs, backwardMs, inputGradientMs] = [atPace('forwardMs'), atPace('backwardMs'), atPace('inputGradientMs')];
    return [{ microbatch, forwardMs, backwardMs, inputGradientMs, recomputeMs, forwardCallMs, backwardCallMs }];
  });
  return blockTimes.length === 0 ? {} : { blockTimes };
}
