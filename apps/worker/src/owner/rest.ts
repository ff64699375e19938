import { formatSeconds } from '@longtail/core';
import type { OwnerLimits } from '@longtail/spec';
import { isWithin } from '@longtail/spec/hours';

/** How a machine stands; undefined: that cannot be read just now. */
export interface Readings {
  /** Local: weekday from Sunday, 0, and minutes after midnight. */
  readonly day: number;
  readonly minute: number;
  /** Since somebody used it. */
  readonly idleMs: number | undefined;
  readonly celsius: number | undefined;
  readonly watts: number | undefined;
}

/** Why a node rests that was too hot, or drew too much: what it began with. */
export interface Strain {
  readonly celsius?: number;
  readonly watts?: { readonly drawn: number; readonly untilMs: number };
}

/** A node that was too hot works again when it is cooler than that by so much. */
const COOLER_BY = 5;
/** What it draws while it rests says nothing of what it will: it tries again after a while. */
const POWER_REST_MS = 60_000;

/** Why a node must rest now, by its owner's limits; an empty reason: it may work. */
export function restFor(limits: OwnerLimits, readings: Readings, before: Strain, nowMs: number): { readonly reason: string; readonly strain: Strain } {
  const strain = strainOf(limits, readings, before, nowMs);
  return { strain, reason: reasons(limits, readings, strain).find((reason) => reason !== undefined) ?? '' };
}

function strainOf({ celsius: maxCelsius = Infinity, watts: maxWatts = Infinity }: OwnerLimits, { celsius, watts }: Readings, before: Strain, nowMs: number): Strain {
  const hot = celsius !== undefined && celsius > (before.celsius === undefined ? maxCelsius : maxCelsius - COOLER_BY);
  const heavy = before.watts !== undefined && nowMs < before.watts.untilMs ? before.watts : undefined;
  const newlyHeavy = watts !== undefined && watts > maxWatts ? { drawn: watts, untilMs: nowMs + POWER_REST_MS } : undefined;
  return { ...(hot ? { celsius: before.celsius ?? celsius } : {}), ...(heavy ?? newlyHeavy ? { watts: heavy ?? newlyHeavy } : {}) };
}

/** Texts stay as they are for as long as the reason does: each change is told to the server. */
function reasons(limits: OwnerLimits, { day, minute, idleMs, celsius, watts }: Readings, strain: Strain): readonly (string | undefined)[] {
  const { hours } = limits;
  return [
    hours !== undefined && !isWithin(hours, day, minute) ? `outside of its hours (${hours.map(({ text }) => text).join(', ')})` : undefined,
    limits.idleMs === undefined || (idleMs ?? 0) >= limits.idleMs ? undefined : idleReason(limits.idleMs, idleMs),
    strain.celsius === undefined ? undefined : `too hot: ${Math.round(strain.celsius)} °C, its owner allows ${limits.celsius} °C`,
    strain.watts === undefined ? undefined : `it draws ${Math.round(strain.watts.drawn)} W, its owner allows ${limits.watts} W`,
    limits.celsius !== undefined && celsius === undefined ? 'its temperature cannot be read' : undefined,
    limits.watts !== undefined && watts === undefined ? 'its power cannot be read' : undefined,
  ];
}

function idleReason(wantedMs: number, idleMs: number | undefined): string {
  if (idleMs === undefined) return 'nobody tells whether the machine is used';
  return `somebody uses the machine (it works after ${formatSeconds(wantedMs / 1000)} without)`;
}
