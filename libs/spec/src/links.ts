import { LongtailError } from '@longtail/core';
import { parseBitRate, parseRoundTripMs } from './units.js';

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

const EXAMPLE = 'up=20mbit,down=100mbit,rtt=40ms';

/** What a part of a link is, and how it is read. */
const PARTS = {
  up: { read: parseBitRate, form: 'a rate above 0, like 20mbit' },
  down: { read: parseBitRate, form: 'a rate above 0, like 100mbit' },
  rtt: { read: parseRoundTripMs, form: 'a time with its unit, like 40ms' },
} as const;

/**
 * `up=20mbit,down=100mbit,rtt=40ms`, parts in any order, after a class of link or alone: `dsl,rtt=80ms`. What is left out is as fast as
 * can be: Infinity, and 0 ms. Throws LongtailError `usage` that names the part.
 */
export function parseLink(text: string): LinkRates {
  const parts = text.split(',').map((part) => part.trim());
  const named: LinkRates | undefined = Object.hasOwn(LINK_CLASSES, parts[0]!) ? LINK_CLASSES[parts.shift() as keyof typeof LINK_CLASSES] : undefined;
  const given = new Map<string, number>();
  for (const part of parts) {
    const [name, value] = readPart(part);
    if (given.has(name)) throw wrong(`${name} is given twice`);
    given.set(name, value);
  }
  return { up: Infinity, down: Infinity, rtt: 0, ...named, ...Object.fromEntries(given) };
}

function readPart(part: string): readonly [keyof typeof PARTS, number] {
  const [name = '', value] = part.split('=').map((side) => side.trim());
  if (!Object.hasOwn(PARTS, name) || value === undefined) {
    throw wrong(`"${part}" is none of up=, down=, rtt= or, in the first place, ${Object.keys(LINK_CLASSES).join(', ')}`);
  }
  const { read, form } = PARTS[name as keyof typeof PARTS];
  const number = read(value);
  if (number === undefined || (number === 0 && name !== 'rtt')) throw wrong(`${name} must be ${form}, found "${value}"`);
  return [name as keyof typeof PARTS, number];
}

function wrong(problem: string): LongtailError {
  return new LongtailError(problem, { code: 'usage', hint: `Write it like ${EXAMPLE}.` });
}
