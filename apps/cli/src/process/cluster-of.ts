import { LongtailError } from '@longtail/core';
import type { DeviceInfo, MeasuredCluster } from '@longtail/core';
import { LINK_CLASSES } from '@longtail/spec';

/** A worker as the server lists it. */
export interface ListedNode {
  readonly node: string;
  readonly name: string;
  readonly device: Pick<DeviceInfo, 'memoryBytes' | 'gflops'>;
}

/** Addresses of this machine and of private networks (RFC 1918, RFC 4193). */
const NEARBY = /^(localhost|127\.|10\.|192\.168\.|172\.(1[6-9]|2\d|3[01])\.|\[?::1|\[?f[cd])/i;

/** The workers of a server as a cluster. What nobody measures yet, their links, is assumed, and said to be. */
export function clusterOf(nodes: readonly ListedNode[], server: string): { cluster: MeasuredCluster; notes: readonly string[] } {
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
  const devices = measured.map(({ node, name, device }) => ({
    id: node,
    name,
    flopsPerSecond: device.gflops * 1e9,
    memoryBytes: device.memoryBytes,
    upBitsPerSecond: up,
    downBitsPerSecond: down,
    roundTripMs: rtt,
    linkAssumed: true,
  }));
  const notes = [
    `links are not measured: ${up / 1e6} Mbit/s up, ${down / 1e6} down, ${rtt} ms assumed (${kind})`,
    ...(unknown.length > 0 ? [`without a measured speed, and so not planned with: ${unknown.map(({ name }) => name).join(', ')}`] : []),
  ];
  return { cluster: { devices, lans: [], peers: [] }, notes };
}
