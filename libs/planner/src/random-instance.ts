import type { DeviceProfile, MeasuredCluster, ModelProfile, PlanRequest, Rng } from '@longtail/core';

export interface Instance {
  readonly profile: ModelProfile;
  readonly cluster: MeasuredCluster;
  readonly request: PlanRequest;
}

/** A small job and a small fleet of everything: solos, LANs, replicas, devices that hold nothing, narrow servers, local steps. */
export function randomInstance(rng: Rng, mostDevices: number, mostBlocks: number): Instance {
  const between = (low: number, high: number) => low + rng.below(high - low + 1);
  const log = (low: number, high: number) => low * (high / low) ** rng.uniform();
  const count = between(2, mostBlocks);
  const ends = rng.below(3) === 0 ? [{ name: 'ends', parameters: Math.round(log(1e3, 4e6)) }] : [];
  const blocks = Array.from({ length: count }, (_, i) => {
    const forwardFlops = log(1e8, 4e9);
    return {
      name: `block${i}`,
      parameters: Math.round(log(1e4, 4e6)),
      tied: [...(rng.below(4) === 0 ? [{ name: 'table', parameters: 1_000_000 }] : []), ...(i === 0 || i === count - 1 ? ends : [])],
      forwardFlops,
      backwardFlops: 2 * forwardFlops,
      outputBytes: Math.round(log(1e3, 2e5)),
      stashBytes: Math.round(log(1e4, 4e6)),
      cutAfter: rng.below(6) > 0,
    };
  });
  const kinds = between(1, mostDevices);
  const catalogue = Array.from({ length: kinds }, (_, i) =>
    device(
      rng,
      `kind${i}`,
      blocks.reduce((sum, block) => sum + block.parameters, 0),
      log,
    ),
  );
  const devices = Array.from({ length: between(1, mostDevices) }, (_, i) => ({ ...catalogue[rng.below(kinds)]!, id: `d${i}` }));
  const inLan = devices.filter(() => rng.below(2) === 0).map(({ id }) => id);
  const lans = inLan.length > 1 ? [{ name: 'lan', devices: inLan, bitsPerSecond: log(1e8, 1e10), roundTripMs: log(0.1, 2) }] : [];
  const pair = [rng.below(devices.length), rng.below(devices.length)] as const;
  const peers =
    pair[0] !== pair[1] && rng.below(3) === 0
      ? [{ between: [devices[pair[0]]!.id, devices[pair[1]]!.id] as const, bitsPerSecond: log(1e7, 1e9), roundTripMs: 1, messageMs: log(0.5, 15) }]
      : [];
  const server = rng.below(3) === 0 ? { upBitsPerSecond: log(1e7, 1e9), downBitsPerSecond: log(1e7, 1e9) } : undefined;
  return {
    profile: { name: 'random', inputBytes: 4096, blocks },
    cluster: { devices, lans, peers: peers.map((peer) => ({ ...peer, between: [...peer.between] as [string, string] })), server },
    request: {
      batch: 2 ** between(3, 9),
      stepsPerRound: rng.below(2) === 0 ? 1 : between(2, 50),
      microbatches: rng.below(2) === 0 ? [4] : [2, 8],
      stateBytesPerParameter: [0, 2, 8][rng.below(3)]!,
      upBitsPerValue: [8, 16, 32][rng.below(3)]!,
      downBitsPerValue: 32,
      activationBits: [8, 32][rng.below(2)]!,
      recompute: (['never', 'allowed', 'always'] as const)[rng.below(3)]!,
      schedule: 'capped-1f1b',
      workspaceBytes: 1e6,
      optimizer: (['devices', 'server'] as const)[rng.below(2)]!,
      alwaysExchanges: rng.below(3) === 0,
    },
  };
}

function device(rng: Rng, name: string, parameters: number, log: (low: number, high: number) => number): DeviceProfile {
  const flopsPerSecond = log(1e11, 4e13);
  const overheadMs = rng.below(2) === 0 ? 0 : log(0.1, 10);
  return {
    id: name,
    name,
    flopsPerSecond,
    handOverMs: overheadMs,
    callMs: overheadMs,
    memoryBytes: log(0.3, 3) * parameters * 16 + 5e6,
    upBitsPerSecond: log(2e6, 1e9),
    downBitsPerSecond: log(1e7, 1e9),
    roundTripMs: 5 + 60 * rng.uniform(),
  };
}
