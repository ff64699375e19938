import type { Rng } from '@longtail/core';
import type { TimedFault } from '@longtail/simulator';
import { isWithin, type ScenarioMachine } from '@longtail/spec';
import { draw, drawExponential, drawWeibull } from './draw.js';
import type { Stay } from './trace.js';

/** When a machine is there. */
export interface Presence {
  /** When it comes first; undefined: never. */
  readonly joinAtMs: number | undefined;
  /** It is there from the start, and works. */
  readonly begins: boolean;
  /** How it goes and comes back, in the order of time. */
  readonly faults: Iterable<TimedFault>;
}

const MINUTE_MS = 60_000;
const DAYS = ['sun', 'mon', 'tue', 'wed', 'thu', 'fri', 'sat'];
const DAY_MINUTES = 1440;

export interface PresenceContext {
  readonly name: string;
  readonly rng: Rng;
  /** `mon 18:00`. */
  readonly begins: string;
  /** What happens later is of no interest. */
  readonly untilMs: number;
  stays(path: string): ReadonlyMap<string, readonly Stay[]>;
}

/** How a machine comes and goes, as its churn says. */
export function presenceOf({ churn, joins }: Pick<ScenarioMachine, 'churn' | 'joins'>, context: PresenceContext): Presence {
  const joinAtMs = joins === undefined ? 0 : draw(joins, context.rng);
  const began = { joinAtMs, begins: joinAtMs === 0 };
  switch (churn?.type) {
    case undefined:
      return { ...began, faults: [] };
    case 'exponential':
      return { ...began, faults: restarts(joinAtMs, churn.away, () => drawExponential(churn.here, context.rng), context) };
    case 'weibull':
      return { ...began, faults: restarts(joinAtMs, churn.away, () => drawWeibull(churn.here, churn.shape, context.rng), context) };
    case 'hours': {
      const works = working(churn.hours, context.begins);
      return { joinAtMs, begins: joinAtMs === 0 && works(0), faults: rests(works, context) };
    }
    case 'trace':
      return asTraced(context.stays(churn.path).get(context.name) ?? [], context.name);
  }
}

/** It is away for exponential times. */
function* restarts(joinAtMs: number, awayMs: number, stayMs: () => number, { name, rng, untilMs }: PresenceContext): Iterable<TimedFault> {
  for (let atMs = joinAtMs + stayMs(); atMs < untilMs;) {
    const forMs = drawExponential(awayMs, rng);
    yield { kind: 'restart', worker: name, atMs, forMs };
    atMs += forMs + stayMs();
  }
}

/** Whether the machine works so many minutes after the beginning. */
function working(hours: Parameters<typeof isWithin>[0], begins: string): (after: number) => boolean {
  const [day, time] = begins.split(' ');
  const [hour, minute] = time!.split(':').map(Number);
  const first = DAYS.indexOf(day!) * DAY_MINUTES + 60 * hour! + minute!;
  return (after) => isWithin(hours, Math.floor((first + after) / DAY_MINUTES) % 7, (first + after) % DAY_MINUTES);
}

function* rests(works: (after: number) => boolean, { name, untilMs }: PresenceContext): Iterable<TimedFault> {
  const last = Math.ceil(untilMs / MINUTE_MS);
  for (let after = 0; after < last; after++) {
    if (works(after)) continue;
    const from = after;
    while (after < last && !works(after)) after++;
    yield { kind: 'pause', worker: name, atMs: from * MINUTE_MS, forMs: (after - from) * MINUTE_MS };
  }
}

function asTraced(stays: readonly Stay[], worker: string): Presence {
  const faults = stays.map(({ toMs }, i): TimedFault => {
    const next = stays[i + 1];
    return next === undefined ? { kind: 'kill', worker, atMs: toMs } : { kind: 'restart', worker, atMs: toMs, forMs: next.fromMs - toMs };
  });
  return { joinAtMs: stays[0]?.fromMs, begins: stays[0]?.fromMs === 0, faults };
}
