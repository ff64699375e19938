import { readFileSync } from 'node:fs';
import { isIPv4 } from 'node:net';
import { isatty } from 'node:tty';
import { InvalidArgumentError, Option } from 'commander';
import { LongtailError } from '@longtail/core';
import type { Overrides } from '@longtail/spec';
import { parseLink, type LinkRates } from '@longtail/spec/links';
import { parseHours, type Hours } from '@longtail/spec/hours';
import { parseBitRate, parseByteSize, parseDurationMs, parsePart, parsePower } from '@longtail/spec/units';
import { readLine, readSecret } from '../terminal/read-line.js';

export const DEFAULT_PORT = 7077;
export const DEFAULT_SERVER = `127.0.0.1:${DEFAULT_PORT}`;
const DEFAULT_RUNS = 'runs';

export function serverOption(): Option {
  return new Option('-s, --server <address>', 'server to talk to').default(DEFAULT_SERVER).env('LONGTAIL_SERVER');
}

export function tokenOption(): Option {
  return new Option('--token <token>', 'to enrol with, where this machine has no identity on the server yet; - reads it from standard input, @FILE from a file: on the command line other users of the machine see it')
    .env('LONGTAIL_TOKEN')
    .argParser(secret);
}

/** The secret, or where it is: `-` for a line on standard input, `@FILE` for a file. */
function secret(text: string): string {
  if (text === '-') return isatty(0) ? readSecret('token: ') : readLine(0);
  if (!text.startsWith('@')) return text;
  try {
    return readFileSync(text.slice(1), 'utf8').trim();
  } catch (error) {
    throw new InvalidArgumentError(`It cannot be read: ${(error as Error).message}`);
  }
}

export function runsOption(): Option {
  return new Option('--runs <folder>', 'folder in which each run gets one of its own').default(DEFAULT_RUNS).env('LONGTAIL_RUNS');
}

export function recordOption(): Option {
  return new Option(
    '--record [size]',
    'keep all contributions, for `longtail replay`; --record=4GB: up to so much, by default 2GiB, or what the job says',
  ).argParser(byteSize);
}

export function setOption(): Option {
  return new Option('--set <field=value>', 'a field of the job in the place of what its file says, such as train.epochs=3; may be given several times').argParser(override).default({}, 'none');
}

export function engineOption(): Option {
  return new Option('-e, --engine <name>', 'engine to compute with; auto measures those present and takes the fastest')
    .choices(['auto', 'tensorflow', 'webgpu', 'wasm', 'cpu'])
    .default('auto');
}

export function allowCodeOption(): Option {
  return new Option(
    '--allow-code [how]',
    "take jobs with modules of their own: confined, where they see no files, no network and no environment (Linux), or trusted, as you: only for people you'd give a shell",
  )
    .choices(['confined', 'trusted'])
    .preset('confined');
}

export function wholeNumber(min: number, max: number): (text: string) => number {
  return (text) => {
    const value = Number(text);
    if (/^\d+$/.test(text) && value >= min && value <= max) return value;
    throw new InvalidArgumentError(`It must be a whole number from ${min} to ${max}.`);
  };
}

/** A pace: above 0, at most 1. */
function pace(text: string): number {
  const value = Number(text);
  if (text.trim() !== '' && value > 0 && value <= 1) return value;
  throw new InvalidArgumentError('It must be a number above 0 and at most 1.');
}

/** `50%` or `0.5`. */
export function part(text: string): number {
  const value = parsePart(text);
  if (value !== undefined && value > 0) return value;
  throw new InvalidArgumentError('It must be a part above 0 and at most 1, like 50% or 0.5.');
}

export function hours(text: string): readonly Hours[] {
  const value = parseHours(text);
  if (value !== undefined) return value;
  throw new InvalidArgumentError('It must be hours like 22:00-07:00 or mon-fri 18:00-08:00, several with commas between.');
}

export function celsius(text: string): number {
  const value = Number(text);
  if (text.trim() !== '' && value >= 30 && value <= 120) return value;
  throw new InvalidArgumentError('It must be a temperature from 30 to 120 °C.');
}

/** Watts. */
export function power(text: string): number {
  const value = parsePower(text);
  if (value !== undefined && value > 0) return value;
  throw new InvalidArgumentError('It must be a power like 200W.');
}

export function paces(text: string): number[] {
  return text.split(',').map(pace);
}

/** Sizes, one a worker. */
export function byteSizes(text: string): number[] {
  return text.split(',').map(byteSize);
}

/** An address that other machines can be told: a wildcard is none. */
export function ownAddress(text: string): string {
  if (isIPv4(text) && text !== '0.0.0.0') return text;
  throw new InvalidArgumentError('It must be an IPv4 address of this machine that other workers reach, like 192.168.1.20.');
}

/** Milliseconds. */
export function duration(text: string): number {
  const value = parseDurationMs(text);
  if (value !== undefined && value > 0) return value;
  throw new InvalidArgumentError('It must be a time like 30m, 24h or 7d.');
}

/** Bit/s. */
export function bitRate(text: string): number {
  const value = parseBitRate(text);
  if (value !== undefined && value > 0) return value;
  throw new InvalidArgumentError('It must be a rate like 10mbit or 1gbit.');
}

export function link(text: string): LinkRates {
  try {
    return parseLink(text);
  } catch (error) {
    const { message, hint } = LongtailError.from(error);
    throw new InvalidArgumentError(`${message}. ${hint}`);
  }
}

/** For an option that may be given several times. */
export function links(text: string, before: readonly LinkRates[] = []): readonly LinkRates[] {
  return [...before, link(text)];
}

export function byteSize(text: string): number {
  const value = parseByteSize(text);
  if (value !== undefined && value > 0) return value;
  throw new InvalidArgumentError('It must be a size like 4GB or 512MiB.');
}

/** `train.epochs=3`: a field and its value, JSON or a word. */
function override(text: string, before: Overrides): Overrides {
  const [, field, value] = /^([A-Za-z][\w.]*)=(.*)$/s.exec(text) ?? [];
  if (field === undefined) throw new InvalidArgumentError('It must be a field and its value, like train.epochs=3.');
  return { ...before, [field]: jsonOrWord(value!) };
}

function jsonOrWord(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}
