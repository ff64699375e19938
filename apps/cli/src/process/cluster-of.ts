import { LongtailError, modelKey } from '@longtail/core';
import type { Job, MeasuredCluster, ModelProfile } from '@longtail/core';
import { isMeasured, measuredCluster } from '@longtail/planner';
import type { ClusterNode } from '@longtail/planner';
import type { NodeRow, PeerLink } from '@longtail/protocol';
import { LINK_CLASSES } from '@longtail/spec';

/** Addresses of this machine and of private networks (RFC 1918, RFC 4193). */
const NEARBY = /^(localhost|127\.|10\.|192\.168\.|172\.(1[6-9]|2\d|3[01])\.|\[?::1|\[?f[cd])/i;

/** Whose cluster it is to be. */
export interface ClusterUse {
  readonly server: string;
  readonly job: Pick<Job, 'model' | 'loss'>;
  readonly profile: ModelProfile;
}

type ListedNode = Omit<ClusterNode, 'pace'> & Pick<NodeRow, 'profiledModel'>;

/**
 * The workers of a server as a cluster. What nobody measured is assumed, and said to be. Times of the model's blocks count where all
 * workers have them: those of some and the GFLOP/s of others do not compare.
 */
export function clusterOf(
  nodes: readonly ListedNode[],
  peers: readonly PeerLink[],
  { server, job, profile }: ClusterUse,
): { cluster: MeasuredCluster; notes: readonly string[] } {
  const kind = NEARBY.test(server) ? 'lan' : 'cable';
  const { up, down, rtt } = LINK_CLASSES[kind];
  const measured = nodes.filter(({ device }) => device.gflops > 0);
  const unknown = nodes.filter(({ device }) => device.gflops <= 0);
  if (measured.length === 0) {
    throw new LongtailError('no worker has measured its speed', {
      code: 'no-plan',
      hint: 'Let them join again with a worker of this version, or plan with --fleet.',
    });
  }
  const untimed = measured.filter(({ profiledModel }) => profiledModel === '' || profiledModel !== modelKey(job));
  const cluster = measuredCluster(untimed.length === 0 ? measured : measured.map((node) => ({ ...node, blocks: [], handOverMs: 0 })), {
    profile,
    peers: peers.map(({ between, ...link }) => ({ ...link, between: [between[0]!, between[1]!] })),
    assumedLink: { upBitsPerSecond: up, downBitsPerSecond: down, roundTripMs: rtt },
  });
  const assumed = measured.filter(({ link }) => !isMeasured(link));
  const notes = [
    ...(untimed.length > 0
      ? [`times are by the GFLOP/s of a large product, often several times off: ${untimed.length === measured.length ? 'no worker has' : `not all workers have (${names(untimed)})`} timed this model's blocks yet`]
      : []),
    ...(assumed.length > 0
      ? [`without a measured link: ${names(assumed)}; ${up / 1e6} Mbit/s up, ${down / 1e6} down, ${rtt} ms assumed (${kind})`]
      : []),
    ...(unknown.length > 0 ? [`without a measured speed, and so not planned with: ${names(unknown)}`] : []),
  ];
  return { cluster, notes };
}

function names(nodes: readonly ClusterNode[]): string {
  return nodes.map(({ name }) => name).join(', ');
}
