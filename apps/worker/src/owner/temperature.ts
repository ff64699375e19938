import { LongtailError } from '@longtail/core';
import { together, type Gauge } from './gauges.js';
import { list, readNumber, readText, type Machine } from './machine.js';
import { nvidiaGauge } from './nvidia.js';

/** Drivers of processors in /sys/class/hwmon (Linux, Documentation/hwmon); others are disks, batteries, fans. */
const PROCESSOR_DRIVERS = ['coretemp', 'k10temp', 'k8temp', 'zenpower', 'cpu_thermal', 'soc_thermal', 'amdgpu', 'radeon', 'nouveau', 'xe', 'i915'];
/** Zones of processors in /sys/class/thermal. ACPI's are left out: many boards tell the same number for ever. */
const PROCESSOR_ZONES = /^(x86_pkg_temp|TCPU|.*(cpu|soc|gpu|cluster).*)$/i;

/** °C of the hottest processor. LongtailError `usage` where none can be read. */
export async function thermometer(machine: Machine): Promise<Gauge> {
  const nvidia = await nvidiaGauge(machine, 'temperature.gpu', hottest);
  const gauges = [...sysfsThermometers(machine), ...(nvidia === undefined ? [] : [nvidia])];
  if (gauges.length > 0) return together(gauges, hottest);
  throw new LongtailError('the temperature of no processor can be read on this machine', {
    code: 'usage',
    where: '--max-temperature',
    hint: `${WHERE[machine.platform] ?? 'There is no way to read it here'}; leave the limit out, or limit the work with --share.`,
  });
}

const WHERE: Partial<Record<NodeJS.Platform, string>> = {
  linux: 'It is read from /sys/class/hwmon (load the driver of the processor: coretemp, k10temp), /sys/class/thermal and nvidia-smi',
  darwin: 'macOS tells it to root only',
  win32: 'It is read from nvidia-smi, of NVIDIA GPUs',
};

function sysfsThermometers(machine: Machine): readonly Gauge[] {
  if (machine.platform !== 'linux') return [];
  const drivers = hwmonThermometers(machine);
  return drivers.length > 0 ? drivers : zoneThermometers(machine);
}

function hwmonThermometers(machine: Machine): readonly Gauge[] {
  const base = 'sys/class/hwmon';
  return list(machine, base).flatMap((chip) => {
    const driver = readText(machine, base, chip, 'name') ?? '';
    const inputs = list(machine, base, chip).filter((file) => /^temp\d+_input$/.test(file));
    if (!PROCESSOR_DRIVERS.includes(driver) || inputs.length === 0) return [];
    return readable(inputs.map((input) => fileGauge(machine, driver, [base, chip, input])));
  });
}

function zoneThermometers(machine: Machine): readonly Gauge[] {
  const base = 'sys/class/thermal';
  return list(machine, base).flatMap((zone) => {
    const type = readText(machine, base, zone, 'type') ?? '';
    return PROCESSOR_ZONES.test(type) ? readable([fileGauge(machine, type, [base, zone, 'temp'])]) : [];
  });
}

interface FileGauge extends Gauge {
  readonly now: () => number | undefined;
}

/** Of a file in thousandths of a °C. */
function fileGauge(machine: Machine, source: string, path: readonly string[]): FileGauge {
  const now = () => {
    const milli = readNumber(machine, ...path);
    return milli === undefined ? undefined : milli / 1000;
  };
  return { source, now, read: async () => now() };
}

/** As one. */
function readable(gauges: readonly FileGauge[]): readonly Gauge[] {
  const working = gauges.filter((gauge) => gauge.now() !== undefined);
  return working.length === 0 ? [] : [{ ...together(working, hottest), source: working[0]!.source }];
}

function hottest(values: readonly number[]): number {
  return Math.max(...values);
}
