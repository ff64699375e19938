import { z } from 'zod';
import { drawn, type Drawn } from './drawn.js';
import { duration, oneOf, real, SHORTHAND_NAMES, size } from './fields.js';
import { checkMachines, classNames, fleetFileSchema, link, machine, rate, RATE, ROUND_TRIP, roundTrip } from './fleet-file.js';
import { LINK_CLASSES } from './links.js';
import { churnSchema } from './scenario-churn.js';
import { parseBitRate, parseDurationMs, parsePower, parseRoundTripMs } from './units.js';

const DAY_MS = 86_400_000;

const drawnLink = z
  .preprocess(
    (value) => (typeof value === 'string' ? { class: value } : value),
    z.strictObject({
      class: oneOf('class of link', classNames).optional().describe('What kind of link; the other fields override its rates'),
      up: drawn(RATE, parseBitRate).optional().describe('To the server: a rate, {from, to} or {median, sigma}'),
      down: drawn(RATE, parseBitRate).optional().describe('From the server'),
      rtt: drawn(ROUND_TRIP, parseRoundTripMs).optional().describe('Round trip to the server'),
      loss: real({ min: 0, max: 0.5 }).optional().describe('Part of the segments that are lost, each way; default: none'),
      slowStart: z.boolean().optional().describe('Windows begin small, and again after a pause, as those of TCP; default: false'),
    }),
  )
  .meta({ [SHORTHAND_NAMES]: classNames })
  .describe(`Link to the server: ${classNames.join(', ')}, or rates of its own, fixed or drawn for each machine`);

const throttling = z.strictObject({
  after: duration(1, DAY_MS).describe('Time at work after which it is too warm'),
  speed: real({ above: 0, max: 1 }).describe('Part of its speed that it then has'),
  for: duration(1, DAY_MS).optional().describe('How long it takes to be as fast as before, and warm up again; default: it stays slow'),
});

const scenarioMachine = z
  .strictObject({
    ...machine.shape,
    gpu: machine.shape.gpu.optional(),
    samplesPerSecond: real({ above: 0 }).optional().describe("In the place of gpu: samples of the scenario's job a second, as somebody measured"),
    overhead: duration(0, 60_000).prefault('1ms').describe('Of each pass, whatever its size'),
    watts: size('a power above 0, like 200W', parsePower).optional().describe('At work; default: that of the GPU, or 100 W'),
    price: real({ min: 0 }).optional().describe('In dollars; default: list price of the GPU'),
    link: drawnLink.prefault('cable'),
    site: z.string().min(1).max(60).optional().describe('Machines with the same word here share one link to the server'),
    region: z.string().min(1).max(60).optional().describe('Where it is, of matrix.regions'),
    jitter: real({ min: 0, max: 0.99 }).default(0).describe('Passes take up to this part more or less'),
    throttling: throttling.optional().describe('It slows down when it is warm; default: never'),
    churn: churnSchema.optional().describe('How it comes and goes; default: it stays'),
    joins: drawn('a time above 0, like 5min', parseDurationMs).optional().describe('When it comes first; default: it is there'),
  })
  .check((context) => {
    const { gpu, samplesPerSecond } = context.value;
    if ((gpu === undefined) !== (samplesPerSecond === undefined)) return;
    context.issues.push({ code: 'custom', message: 'needs either gpu or samplesPerSecond', input: context.value });
  });

const times = z.array(z.array(roundTrip).min(1)).min(1).max(1000);
const rates = z.array(z.array(rate).min(1)).min(1).max(1000);

const matrix = z
  .strictObject({
    regions: z.array(z.string().min(1).max(60)).min(1).max(1000).describe('Their names; rows and columns follow this order'),
    server: z.string().describe('Region of the server'),
    rtt: times.describe('Round trip between machines of two regions, beside that of their links'),
    rate: rates.optional().describe('Most that a machine of one region sends to another'),
  })
  .check((context) => {
    const { regions, server, rtt, rate: given } = context.value;
    const say = (message: string, ...path: string[]) => context.issues.push({ code: 'custom', message, input: context.value, path });
    if (!regions.includes(server)) say(`"${server}" is none of the regions ${regions.join(', ')}`, 'server');
    for (const [field, rows] of Object.entries({ rtt, rate: given })) {
      if (rows?.length === regions.length && rows.every((row) => row.length === regions.length)) continue;
      if (rows !== undefined) say(`must have a row for each of ${regions.length} regions, each with as many columns`, field);
    }
  });

/** The fleet of a scenario: that of a fleet file, and how its machines differ, come and go. */
export const scenarioFleetSchema = z
  .strictObject({
    server: link.optional().describe("The server's own link, shared by all; default: 10 Gbit/s both ways"),
    machines: z.array(scenarioMachine).min(1).max(10_000).describe('What the fleet is made of'),
    lans: fleetFileSchema.shape.lans,
    matrix: matrix.optional().describe('Round trips and rates between regions'),
    begins: z
      .string()
      .regex(/^(sun|mon|tue|wed|thu|fri|sat) ([01]\d|2[0-3]):[0-5]\d$/, { error: ({ input }) => `must be a day and a time, like mon 18:00, found ${JSON.stringify(input)}` })
      .default('mon 00:00')
      .describe('Day and time at which the run begins, for hours of churn'),
  })
  .check(checkMachines)
  .check((context) => {
    const { machines, matrix: given } = context.value;
    for (const [i, { region }] of machines.entries()) {
      if (region === undefined || given?.regions.includes(region)) continue;
      const message = given === undefined ? 'is of matrix.regions, and there is no matrix' : `"${region}" is none of the regions ${given.regions.join(', ')}`;
      context.issues.push({ code: 'custom', message, input: context.value, path: ['machines', i, 'region'] });
    }
  });

export type ScenarioFleet = z.output<typeof scenarioFleetSchema>;
export type ScenarioMachine = ScenarioFleet['machines'][number];

/** Rates of a link before they are drawn, those of its class (default: cable) where it does not say. */
export function drawnRatesOf(given: ScenarioMachine['link']): Readonly<Record<'up' | 'down' | 'rtt', Drawn>> {
  const { up, down, rtt } = LINK_CLASSES[given.class ?? 'cable'];
  return { up: given.up ?? up, down: given.down ?? down, rtt: given.rtt ?? rtt };
}
