import type { OwnerLimits } from '@longtail/spec';
import { formatSeconds } from '@longtail/core';
import type { Gauge } from './gauges.js';
import { idleGauge } from './idle.js';
import type { Machine } from './machine.js';
import { wattmeter } from './power.js';
import { restFor, type Strain } from './rest.js';
import { thermometer } from './temperature.js';

/** Holds a machine against its owner's limits. */
export class LimitWatch {
  private strain: Strain = {};

  private constructor(
    private readonly limits: OwnerLimits,
    private readonly machine: Machine,
    private readonly gauges: Readonly<Partial<Record<'idle' | 'temperature' | 'power', Gauge>>>,
  ) {}

  /** LongtailError `usage` for a limit that this machine gives no way to keep. */
  static async open(limits: OwnerLimits, machine: Machine): Promise<LimitWatch> {
    return new LimitWatch(limits, machine, {
      idle: limits.idleMs === undefined ? undefined : await idleGauge(machine),
      temperature: limits.celsius === undefined ? undefined : await thermometer(machine),
      power: limits.watts === undefined ? undefined : await wattmeter(machine),
    });
  }

  /** For people: each limit that is watched, and what tells. */
  get watched(): readonly string[] {
    const { hours, idleMs, celsius, watts } = this.limits;
    const { idle, temperature, power } = this.gauges;
    return [
      ...(hours === undefined ? [] : [`works ${hours.map(({ text }) => text).join(', ')}`]),
      ...(idle === undefined ? [] : [`works when nobody has used the machine for ${formatSeconds(idleMs! / 1000)} (${idle.source})`]),
      ...(temperature === undefined ? [] : [`works up to ${celsius} °C (${temperature.source})`]),
      ...(power === undefined ? [] : [`works up to ${watts} W (${power.source})`]),
    ];
  }

  /** Why the node must rest; empty: it may work. */
  async look(): Promise<string> {
    const nowMs = this.machine.nowMs();
    const local = new Date(nowMs);
    const { idle, temperature, power } = this.gauges;
    const [idleMs, celsius, watts] = await Promise.all([idle?.read(), temperature?.read(), power?.read()]);
    const readings = { day: local.getDay(), minute: 60 * local.getHours() + local.getMinutes(), idleMs, celsius, watts };
    const { reason, strain } = restFor(this.limits, readings, this.strain, nowMs);
    this.strain = strain;
    return reason;
  }
}
