import type { DeviceProfile, MeasuredCluster } from '@longtail/core';

/** A way from one device to another. */
export interface Way {
  readonly bitsPerSecond: number;
  readonly delayMs: number;
  /** Without the server between. */
  readonly direct: boolean;
}

/** How two stages reach each other. */
export interface HopWay {
  readonly forwardBitsPerSecond: number;
  readonly backwardBitsPerSecond: number;
  readonly forwardDelayMs: number;
  readonly backwardDelayMs: number;
}

/** Ways between devices, by index: over a LAN, a measured peer link, else through the server. */
export class Links {
  private readonly devices: readonly DeviceProfile[];
  private readonly lanOf: readonly (number | undefined)[];
  private readonly lanWays: readonly Way[];
  private readonly peers = new Map<string, Way>();

  constructor(private readonly cluster: MeasuredCluster) {
    this.devices = cluster.devices;
    const index = new Map(cluster.devices.map((device, i) => [device.id, i]));
    const lanOf: (number | undefined)[] = cluster.devices.map(() => undefined);
    cluster.lans.forEach((lan, l) => lan.devices.forEach((id) => (lanOf[index.get(id)!] = l)));
    this.lanOf = lanOf;
    this.lanWays = cluster.lans.map(({ bitsPerSecond, roundTripMs }) => ({ bitsPerSecond, delayMs: roundTripMs / 2, direct: true }));
    for (const { between, bitsPerSecond, messageMs } of cluster.peers) {
      const [a, b] = between.map((id) => index.get(id)!);
      const way = { bitsPerSecond, delayMs: messageMs, direct: true };
      this.peers.set(`${a}-${b}`, way).set(`${b}-${a}`, way);
    }
  }

  way(from: number, to: number): Way {
    const peer = this.peers.size > 0 ? this.peers.get(`${from}-${to}`) : undefined;
    if (peer !== undefined) return peer;
    const lan = this.lanOf[from];
    if (lan !== undefined && lan === this.lanOf[to]) return this.lanWays[lan]!;
    const [a, b] = [this.devices[from]!, this.devices[to]!];
    return {
      bitsPerSecond: Math.min(a.upBitsPerSecond, b.downBitsPerSecond),
      delayMs: (a.roundTripMs + b.roundTripMs) / 2,
      direct: false,
    };
  }

  /** The way between any two of them where all are in one LAN and none has links of its own. */
  onlyLan(some: readonly number[], others: readonly number[]): Way | undefined {
    const lan = this.lanOf[some[0]!];
    if (lan === undefined || this.peers.size > 0) return undefined;
    return some.every((device) => this.lanOf[device] === lan) && others.every((device) => this.lanOf[device] === lan)
      ? this.lanWays[lan]
      : undefined;
  }

  /** Between two stages. */
  between(from: readonly number[], to: readonly number[]): HopWay {
    const lan = this.onlyLan(from, to);
    if (lan !== undefined) {
      const bitsPerSecond = lan.bitsPerSecond * Math.min(from.length, to.length);
      return {
        forwardBitsPerSecond: bitsPerSecond,
        backwardBitsPerSecond: bitsPerSecond,
        forwardDelayMs: lan.delayMs,
        backwardDelayMs: lan.delayMs,
      };
    }
    let [forward, backward, forwardDelayMs, backwardDelayMs] = [Infinity, Infinity, 0, 0];
    for (const a of from) {
      for (const b of to) {
        const [there, back] = [this.way(a, b), this.way(b, a)];
        forward = Math.min(forward, there.bitsPerSecond);
        backward = Math.min(backward, back.bitsPerSecond);
        forwardDelayMs = Math.max(forwardDelayMs, there.delayMs);
        backwardDelayMs = Math.max(backwardDelayMs, back.delayMs);
      }
    }
    // Microbatches go side by side, as many as the smaller of the two stages has devices.
    const side = Math.min(from.length, to.length);
    return { forwardBitsPerSecond: forward * side, backwardBitsPerSecond: backward * side, forwardDelayMs, backwardDelayMs };
  }

  /** No way from any of them to any other has less bits a second or more delay. */
  worstAmong(devices: readonly number[]): Omit<Way, 'direct'> {
    const lan = this.onlyLan(devices, devices);
    if (lan !== undefined) return lan;
    let [bitsPerSecond, delayMs] = [Infinity, 0];
    for (const from of devices) {
      for (const to of devices) {
        if (from === to) continue;
        const way = this.way(from, to);
        bitsPerSecond = Math.min(bitsPerSecond, way.bitsPerSecond);
        delayMs = Math.max(delayMs, way.delayMs);
      }
    }
    return { bitsPerSecond, delayMs };
  }

  /** No way of the device has more bits a second or less delay, those through the server included. */
  bestOf(device: number): Omit<Way, 'direct'> {
    const { upBitsPerSecond, roundTripMs } = this.devices[device]!;
    let [bitsPerSecond, delayMs] = [upBitsPerSecond, roundTripMs / 2];
    const better = (way: Omit<Way, 'direct'>) => {
      bitsPerSecond = Math.max(bitsPerSecond, way.bitsPerSecond);
      delayMs = Math.min(delayMs, way.delayMs);
    };
    if (this.lanOf[device] !== undefined) better(this.lanWays[this.lanOf[device]]!);
    for (const [pair, way] of this.peers) if (pair.startsWith(`${device}-`)) better(way);
    return { bitsPerSecond, delayMs };
  }

  /** No direct way among these has more bits a second or less delay; undefined: there is none. */
  bestAmong(devices: readonly number[]): Omit<Way, 'direct'> | undefined {
    const here = new Set(devices);
    const lans = devices.flatMap((device) => (this.lanOf[device] === undefined ? [] : [this.lanWays[this.lanOf[device]]!]));
    const peers = [...this.peers].filter(([pair]) => pair.split('-').every((device) => here.has(Number(device)))).map(([, way]) => way);
    if (lans.length + peers.length === 0) return undefined;
    return {
      bitsPerSecond: Math.max(...lans.map((way) => way.bitsPerSecond), ...peers.map((way) => way.bitsPerSecond)),
      delayMs: Math.min(...lans.map((way) => way.delayMs), ...peers.map((way) => way.delayMs)),
    };
  }

  lan(device: number): number | undefined {
    return this.lanOf[device];
  }

  /** Devices with links of their own are like no other. */
  hasPeers(device: number): boolean {
    const { id } = this.devices[device]!;
    return this.cluster.peers.some(({ between }) => between.includes(id));
  }

  /** Devices that reach each other directly, over one another: each device in one of the lists. */
  components(): readonly (readonly number[])[] {
    const root = this.devices.map((_, i) => i);
    const find = (i: number): number => (root[i] === i ? i : (root[i] = find(root[i]!)));
    const first = new Map<number, number>();
    this.lanOf.forEach((lan, i) => {
      if (lan === undefined) return;
      const other = first.get(lan);
      if (other === undefined) first.set(lan, i);
      else root[find(i)] = find(other);
    });
    for (const pair of this.peers.keys()) {
      const [a, b] = pair.split('-').map(Number) as [number, number];
      root[find(a)] = find(b);
    }
    const members = new Map<number, number[]>();
    root.forEach((_, i) => {
      const list = members.get(find(i));
      if (list === undefined) members.set(find(i), [i]);
      else list.push(i);
    });
    return [...members.values()];
  }
}
