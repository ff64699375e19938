import { LongtailError } from '@longtail/core';
import type { MeasuredCluster } from '@longtail/core';
import { isMeasured, measuredCluster } from '@longtail/planner';
import type { ClusterNode } from '@longtail/planner';
import type { PeerLink } from '@longtail/protocol';
import { LINK_CLASSES } from '@longtail/spec';

/** Addresses of this machine and of private networks (RFC 1918, RFC 4193). */
const NEARBY = /^(localhost|127\.|10\.|192\.168\.|172\.(1[6-9]|2\d|3[01])\.|\[?::1|\[?f[cd])/i;

/** The workers of a server as a cluster. What nobody measured is assumed, and said to be. */
export function clusterOf(
  nodes: readonly ClusterNode[],
  peers: readonly PeerLink[],
  server: string,
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
  const cluster = measuredCluster(measured, {
    peers: peers.map(({ between, ...link }) => ({ ...link, between: [between[0]!, between[1]!] })),
    assumedLink: { upBitsPerSecond: up, downBitsPerSecond: down, roundTripMs: rtt },
  });
  const assumed = measured.filter(({ link }) => !isMeasured(link));
  const notes = [
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
