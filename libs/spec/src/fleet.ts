import type { DeviceProfile, Lan, MeasuredCluster } from '@longtail/core';
import type { z } from 'zod';
import { fleetFileSchema, lanNamed, ratesOf } from './fleet-file.js';
import { gpuNamed } from './gpus.js';
import { readFile } from './parse.js';

const GIB = 2 ** 30;

/** Of each pass besides its work, one that a stage takes over from another one or a call for a whole model: about what workers of Longtail measure on processors of today. */
const OVERHEAD_MS = 1;

type Machine = z.output<typeof fleetFileSchema>['machines'][number];

/**
 * Reads a fleet file (YAML, so JSON too) as a cluster whose speeds are priors: peak fp32 rates of the catalogue, times the
 * efficiency. Throws LongtailError `invalid-file` that lists every problem with file, line, column and field.
 */
export function parseFleetFile(text: string, file: string): MeasuredCluster {
  const { server, machines, lans } = readFile(fleetFileSchema, text, file, 'longtail schema fleet');
  const devices: DeviceProfile[] = [];
  const members = new Map<string, string[]>();
  for (const machine of machines) {
    for (let i = 0; i < machine.count; i++) {
      const device = deviceOf(machine, devices.length + 1);
      devices.push(device);
      if (machine.lan === undefined) continue;
      const others = members.get(machine.lan);
      if (others === undefined) members.set(machine.lan, [device.id]);
      else others.push(device.id);
    }
  }
  const rates = server && ratesOf(server);
  return {
    devices,
    lans: [...members].map(([name, ids]) => lanOf(name, ids, lanNamed(lans, name))),
    peers: [],
    server: rates && { upBitsPerSecond: rates.up, downBitsPerSecond: rates.down },
  };
}

function deviceOf(machine: Machine, number: number): DeviceProfile {
  const gpu = gpuNamed(machine.gpu);
  const { up, down, rtt } = ratesOf(machine.link);
  return {
    id: `m${number}`,
    name: machine.name ?? gpu.name,
    flopsPerSecond: gpu.fp32Tflops * 1e12 * machine.efficiency,
    handOverMs: OVERHEAD_MS,
    callMs: OVERHEAD_MS,
    memoryBytes: machine.memory ?? gpu.memoryGib * GIB,
    upBitsPerSecond: up,
    downBitsPerSecond: down,
    roundTripMs: rtt,
  };
}

function lanOf(name: string, devices: readonly string[], { rate, rtt }: ReturnType<typeof lanNamed>): Lan {
  return { name, devices, bitsPerSecond: rate, roundTripMs: rtt };
}
