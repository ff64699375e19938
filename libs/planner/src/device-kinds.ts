import type { MeasuredCluster } from '@longtail/core';
import type { Links } from './links.js';

/** Which devices costs do not tell apart. */
export class DeviceKinds {
  private readonly kinds: readonly string[];
  private readonly likenesses: (string | undefined)[] = [];

  constructor(
    private readonly cluster: MeasuredCluster,
    private readonly links: Links,
  ) {
    this.kinds = cluster.devices.map(({ flopsPerSecond, memoryBytes, stashFactor, blockTimes, handOverMs, callMs }) =>
      JSON.stringify([flopsPerSecond, memoryBytes, stashFactor, blockTimes, handOverMs, callMs]),
    );
  }

  /** Devices apart by speed, memory and what takes it. */
  among(devices: readonly number[]): readonly (readonly number[])[] {
    const kinds = new Map<string, number[]>();
    for (const device of devices) {
      const kind = kinds.get(this.kinds[device]!);
      if (kind === undefined) kinds.set(this.kinds[device]!, [device]);
      else kind.push(device);
    }
    return [...kinds.values()];
  }

  /** The same of devices that no cost tells apart: speed, memory and what takes it, link to the server, LAN. Devices with links of their own are like no other. */
  likeness(device: number): string {
    const known = this.likenesses[device];
    if (known !== undefined) return known;
    const { id, upBitsPerSecond, downBitsPerSecond, roundTripMs } = this.cluster.devices[device]!;
    const own = this.links.hasPeers(device) ? id : '';
    return (this.likenesses[device] = [this.kinds[device], upBitsPerSecond, downBitsPerSecond, roundTripMs, this.links.lan(device), own].join(' '));
  }
}
