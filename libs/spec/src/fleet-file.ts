import { z } from 'zod';
import { integer, oneOf, real, SHORTHAND_NAMES, size } from './fields.js';
import { GPUS } from './gpus.js';
import { LINK_CLASSES, type LinkRates } from './links.js';
import { parseBitRate, parseByteSize, parseRoundTripMs } from './units.js';

type LinkClass = keyof typeof LINK_CLASSES;

export const classNames = Object.keys(LINK_CLASSES) as [LinkClass, ...LinkClass[]];

const MOST_MACHINES = 100_000;

export const RATE = 'a rate above 0, like 20Mbit or 1Gbit';
export const ROUND_TRIP = 'a time above 0 with its unit, like 20ms';
export const rate = size(RATE, parseBitRate);
export const roundTrip = size(ROUND_TRIP, parseRoundTripMs);

export const link = z
  .preprocess(
    (value) => (typeof value === 'string' ? { class: value } : value),
    z.strictObject({
      class: oneOf('class of link', classNames).optional().describe('What kind of link; the other fields override its rates'),
      up: rate.optional().describe('To the server'),
      down: rate.optional().describe('From the server'),
      rtt: roundTrip.optional().describe('Round trip to the server'),
    }),
  )
  .meta({ [SHORTHAND_NAMES]: classNames })
  .describe(`Link to the server: ${classNames.join(', ')}, or rates of its own`);

export const machine = z.strictObject({
  gpu: oneOf('GPU', GPUS.map(({ name }) => name) as [string, ...string[]]).describe('Device, by the name in the catalogue'),
  count: integer({ min: 1, max: 100_000 }).default(1).describe('Machines like this'),
  name: z.string().min(1).max(60).optional().describe('Name in the plan; default: that of the GPU'),
  memory: size('a size above 0, like 6GiB', parseByteSize).optional().describe('Memory offered; default: all that the device has'),
  efficiency: real({ above: 0, max: 1 }).default(0.35).describe('Part of the peak fp32 rate that training reaches, until it is measured'),
  link: link.prefault('cable'),
  lan: z.string().min(1).max(60).optional().describe('Machines with the same word here reach each other directly; see lans'),
});

const lan = z.strictObject({
  rate: rate.prefault('1Gbit').describe('Of each port'),
  rtt: roundTrip.prefault('1ms').describe('Round trip between two machines'),
});

/** A fleet file: machines that somebody has, or might rent. */
export const fleetFileSchema = z
  .strictObject({
    server: link.optional().describe("The server's own link, shared by all groups; default: never the bottleneck"),
    machines: z.array(machine).min(1).max(10_000).describe('What the fleet is made of'),
    lans: z.record(z.string(), lan).default({}).describe('LANs that are not 1 Gbit/s and 1 ms, by their word in machines'),
  })
  .check(checkMachines);

interface Machines {
  readonly machines: readonly { readonly count: number; readonly lan?: string | undefined }[];
  readonly lans: Readonly<Record<string, z.output<typeof lan>>>;
}

/** There are not more than anybody could plan for, and each LAN that is described has one. */
export function checkMachines({ value, issues }: z.core.ParsePayload<Machines>): void {
  const { machines, lans } = value;
  const count = machines.reduce((sum, one) => sum + one.count, 0);
  if (count > MOST_MACHINES) issues.push({ code: 'custom', message: `are ${count} in all, and ${MOST_MACHINES} are the most`, input: value, path: ['machines'] });
  const used = new Set(machines.flatMap((one) => one.lan ?? []));
  for (const name of Object.keys(lans)) {
    if (!used.has(name)) issues.push({ code: 'custom', message: `no machine is in this LAN${used.size === 0 ? '' : `: theirs are ${[...used].join(', ')}`}`, input: value, path: ['lans', name] });
  }
}

/** The LAN of that word in machines. */
export function lanNamed(lans: Machines['lans'], name: string): z.output<typeof lan> {
  return Object.hasOwn(lans, name) ? lans[name]! : { rate: 1e9, rtt: 1 };
}

/** Rates of a link, those of its class (default: cable) where it does not say. */
export function ratesOf(given: z.output<typeof link>): LinkRates {
  const { up, down, rtt } = LINK_CLASSES[given.class ?? 'cable'];
  return { up: given.up ?? up, down: given.down ?? down, rtt: given.rtt ?? rtt };
}
