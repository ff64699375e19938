import { LongtailError } from '@longtail/core';
import { together, type Gauge } from './gauges.js';
import { list, readNumber, readText, type Machine } from './machine.js';
import { nvidiaGauge } from './nvidia.js';

const POWERCAP = 'sys/class/powercap';
const HWMON = 'sys/class/hwmon';

/** Watts of all processors that tell. LongtailError `usage` where none does. */
export async function wattmeter(machine: Machine): Promise<Gauge> {
  const nvidia = await nvidiaGauge(machine, 'power.draw', sum);
  const gauges = [...packages(machine), ...amdGpus(machine), ...(nvidia === undefined ? [] : [nvidia])];
  if (gauges.length > 0) return together(gauges, sum);
  const locked = domains(machine);
  throw new LongtailError('the power of no processor can be read on this machine', {
    code: 'usage',
    where: '--max-power',
    hint:
      locked.length > 0
        ? `The kernel has it, for root only: sudo chmod a+r ${locked.map((domain) => `/${POWERCAP}/${domain}/energy_uj`).join(' ')}`
        : 'It is read from /sys/class/powercap (Intel and AMD on Linux), /sys/class/hwmon (amdgpu) and nvidia-smi; leave the limit out, or limit the work with --share.',
  });
}

/** Of processor packages: RAPL, also of AMD's. */
function domains(machine: Machine): readonly string[] {
  return machine.platform === 'linux' ? list(machine, POWERCAP).filter((name) => /^intel-rapl:\d+$/.test(name)) : [];
}

function packages(machine: Machine): readonly Gauge[] {
  return domains(machine).flatMap((domain) => {
    const energy = () => readNumber(machine, POWERCAP, domain, 'energy_uj');
    const wrapsAt = readNumber(machine, POWERCAP, domain, 'max_energy_range_uj') ?? 0;
    const source = readText(machine, POWERCAP, domain, 'name') ?? domain;
    return energy() === undefined ? [] : [energyGauge(source, energy, wrapsAt, () => machine.nowMs())];
  });
}

/** The mean power since it was read last, of a counter of µJ that begins anew at `wrapsAt`. */
function energyGauge(source: string, energy: () => number | undefined, wrapsAt: number, nowMs: () => number): Gauge {
  let last = { energy: energy(), atMs: nowMs() };
  return {
    source,
    async read() {
      const before = last;
      last = { energy: energy(), atMs: nowMs() };
      if (before.energy === undefined || last.energy === undefined || last.atMs <= before.atMs) return undefined;
      const used = last.energy >= before.energy ? last.energy - before.energy : last.energy + wrapsAt - before.energy;
      return used / 1000 / (last.atMs - before.atMs);
    },
  };
}

function amdGpus(machine: Machine): readonly Gauge[] {
  if (machine.platform !== 'linux') return [];
  return list(machine, HWMON).flatMap((chip) => {
    if (readText(machine, HWMON, chip, 'name') !== 'amdgpu') return [];
    const microwatts = () => readNumber(machine, HWMON, chip, 'power1_average') ?? readNumber(machine, HWMON, chip, 'power1_input');
    const read = async () => {
      const now = microwatts();
      return now === undefined ? undefined : now / 1e6;
    };
    return microwatts() === undefined ? [] : [{ source: 'amdgpu', read }];
  });
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}
