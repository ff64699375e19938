import { z } from 'zod';
import { integer, oneOf, real, SHORTHAND_NAMES, size } from './fields.js';
import { GPUS } from './gpus.js';
import { parseBitRate, parseByteSize, parseDurationMs } from './units.js';

/** A link: bit/s up and down, round trip in milliseconds. */
export interface LinkRates {
  readonly up: number;
  readonly down: number;
  readonly rtt: number;
}

const MEGABIT = 1e6;

/** What a word for a link means; home links after NUMBERS.md: down : up is 6 : 1 where nothing better is known. */
export const LINK_CLASSES = {
  datacenter: { up: 10_000 * MEGABIT, down: 10_000 * MEGABIT, rtt: 0.5 },
  lan: { up: 1000 * MEGABIT, down: 1000 * MEGABIT, rtt: 1 },
  fibre: { up: 100 * MEGABIT, down: 500 * MEGABIT, rtt: 15 },
  cable: { up: 20 * MEGABIT, down: 120 * MEGABIT, rtt: 30 },
  dsl: { up: 8 * MEGABIT, down: 48 * MEGABIT, rtt: 35 },
  wifi: { up: 15 * MEGABIT, down: 90 * MEGABIT, rtt: 40 },
  lte: { up: 10 * MEGABIT, down: 40 * MEGABIT, rtt: 60 },
  satellite: { up: 10 * MEGABIT, down: 100 * MEGABIT, rtt: 50 },
} as const satisfies Readonly<Record<string, LinkRates>>;

type LinkClass = keyof typeof LINK_CLASSES;

const classNames = Object.keys(LINK_CLASSES) as [LinkClass, ...LinkClass[]];

const rate = size('a rate above 0, like 20Mbit or 1Gbit', parseBitRate);
const roundTrip = size('a time above 0, like 20ms', parseDurationMs);

const link = z
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

const machine = z.strictObject({
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
export const fleetFileSchema = z.strictObject({
  server: link.optional().describe("The server's own link, shared by all groups; default: never the bottleneck"),
  machines: z.array(machine).min(1).max(10_000).describe('What the fleet is made of'),
  lans: z.record(z.string(), lan).default({}).describe('LANs that are not 1 Gbit/s and 1 ms, by their word in machines'),
});

/** Rates of a link, those of its class (default: cable) where it does not say. */
export function ratesOf(given: z.output<typeof link>): LinkRates {
  const { up, down, rtt } = LINK_CLASSES[given.class ?? 'cable'];
  return { up: given.up ?? up, down: given.down ?? down, rtt: given.rtt ?? rtt };
}
