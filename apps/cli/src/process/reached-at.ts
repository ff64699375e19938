import { networkInterfaces } from 'node:os';
import { formatAddress, parseAddress } from '@longtail/transport';

const LOOPBACK = '127.0.0.1';

/** A server of this host listens at all addresses of its machine. */
export function isWildcard(host: string): boolean {
  return host === '0.0.0.0' || host === '::';
}

/** Where this machine itself reaches a server that listens there. */
export function reachedHereAt(address: string): string {
  const { host, port } = parseAddress(address);
  return formatAddress({ host: isWildcard(host) ? LOOPBACK : host, port });
}

/** Where others reach it: of one that listens everywhere, each IPv4 address that this machine has for others, or its own where it has none. */
export function reachedAt(address: string, interfaces = networkInterfaces()): readonly string[] {
  const { host, port } = parseAddress(address);
  if (!isWildcard(host)) return [address];
  const hosts = Object.values(interfaces).flatMap((all = []) => all.filter(({ family, internal }) => family === 'IPv4' && !internal).map((one) => one.address));
  return (hosts.length > 0 ? hosts : [LOOPBACK]).map((each) => formatAddress({ host: each, port }));
}
