import { nearestName } from '@longtail/core';
import { z } from 'zod';
import { parseDurationMs } from './units.js';

/** Marks a choice whose bare name may stand for the whole section (`optimizer: adam`); read by the JSON Schema. */
export const SHORTHAND_NAMES = 'longtailShorthandNames';

interface NumberRange {
  readonly min?: number;
  readonly max?: number;
  /** The number must be above this; for rates and sizes that may be small but not zero. */
  readonly above?: number;
}

/** A whole number; the message for a wrong one names the range. */
export function integer(range: NumberRange): z.ZodNumber {
  return bounded(z.int({ error: outOfRange('a whole number', range) }), 'a whole number', range);
}

/** A finite number; the message for a wrong one names the range. */
export function real(range: NumberRange): z.ZodNumber {
  return bounded(z.number({ error: outOfRange('a number', range) }), 'a number', range);
}

function bounded(schema: z.ZodNumber, kind: string, range: NumberRange): z.ZodNumber {
  const error = outOfRange(kind, range);
  let result = schema;
  if (range.min !== undefined) result = result.min(range.min, { error });
  if (range.above !== undefined) result = result.gt(range.above, { error });
  if (range.max !== undefined) result = result.max(range.max, { error });
  return result;
}

function outOfRange(kind: string, range: NumberRange): (issue: { readonly input?: unknown }) => string {
  return ({ input }) =>
    input === undefined ? `is required: ${describeRange(kind, range)}` : `must be ${describeRange(kind, range)}, found ${show(input)}`;
}

function describeRange(kind: string, { min, max, above }: NumberRange): string {
  if (above !== undefined) return max === undefined ? `${kind} above ${above}` : `${kind} above ${above} and at most ${max}`;
  if (min !== undefined && max !== undefined) return `${kind} from ${min} to ${max}`;
  return min === undefined ? kind : `${kind} of at least ${min}`;
}

/** A name that may be part of a file's. */
export const name = z
  .string()
  .min(1)
  .max(100)
  .regex(/^[\p{L}\p{N}_][\p{L}\p{M}\p{N}_ .-]*$/u, {
    error: ({ input }) => `must begin with a letter or digit and hold only letters, digits, blanks and . _ -, found ${JSON.stringify(input)}`,
  });

/** `30s`, `5min` or a count of seconds → milliseconds within [minMs, maxMs]. */
export function duration(minMs: number, maxMs: number) {
  const expected = `a time from ${showDuration(minMs)} to ${showDuration(maxMs)}, like 30s or 5min`;
  return z
    .union([z.string(), z.number()], { error: ({ input }) => `must be ${expected}, found ${show(input)}` })
    .transform((value, context) => {
      const ms = parseDurationMs(value);
      if (ms !== undefined && ms >= minMs && ms <= maxMs) return ms;
      context.issues.push({ code: 'custom', message: `must be ${expected}, found ${show(value)}`, input: value });
      return z.NEVER;
    });
}

/** A quantity with a unit, above 0, as the number that `parse` makes of it. */
export function size(expected: string, parse: (value: string | number) => number | undefined) {
  return z
    .union([z.string(), z.number()], { error: ({ input }) => `must be ${expected}, found ${show(input)}` })
    .transform((value, context) => {
      const quantity = parse(value);
      if (quantity !== undefined && quantity > 0) return quantity;
      context.issues.push({ code: 'custom', message: `must be ${expected}, found ${show(value)}`, input: value });
      return z.NEVER;
    });
}

function showDuration(ms: number): string {
  if (ms >= 3_600_000) return `${ms / 3_600_000}h`;
  return ms >= 1000 ? `${ms / 1000}s` : `${ms}ms`;
}

/** One of several kinds, told apart by `type`; where every other field has a default, the bare name will do. */
export function choice<const Options extends readonly [z.ZodObject, ...z.ZodObject[]]>(noun: string, options: Options) {
  const names = options.flatMap((option) => [...(option.shape.type as z.ZodLiteral<string>).values]);
  const union = z.discriminatedUnion('type', options, {
    error: (issue) => {
      const found = (issue.input as { type?: unknown } | null | undefined)?.type;
      if (issue.input === undefined) return `is required: ${article(noun)} (one of ${names.join(', ')})`;
      if (issue.code !== 'invalid_union') return `must name ${article(noun)} (one of ${names.join(', ')}), found ${show(issue.input)}`;
      return found === undefined ? `is required: ${article(noun)} (one of ${names.join(', ')})` : unknownName(noun, found, names);
    },
  });
  return z.preprocess((value) => (typeof value === 'string' ? { type: value } : value), union).meta({ [SHORTHAND_NAMES]: names });
}

/** One word of a fixed list. */
export function oneOf<const Names extends readonly [string, ...string[]]>(noun: string, names: Names) {
  return z.enum(names, {
    error: ({ input }) => (input === undefined ? `is required: one of ${names.join(', ')}` : unknownName(noun, input, names)),
  });
}

/** The message for a name that is none of `names`, with the nearest one. */
export function unknownName(noun: string, found: unknown, names: readonly string[]): string {
  const nearest = typeof found === 'string' ? nearestName(found, names) : undefined;
  const suggestion = nearest === undefined ? '' : `; did you mean ${show(nearest)}?`;
  return `unknown ${noun} ${show(found)}${suggestion} (one of ${names.join(', ')})`;
}

function article(noun: string): string {
  return `${/^[aeiou]/.test(noun) ? 'an' : 'a'} ${noun}`;
}

/** What zod would say in its own words, in ours. Unknown keys give one line a key, in the order of `issue.keys`. */
export function describeIssue(issue: z.core.$ZodRawIssue): string | undefined {
  switch (issue.code) {
    case 'unrecognized_keys':
      return issue.keys.map((key) => unknownField(key, fieldsOf(issue.inst))).join('\n');
    case 'invalid_type':
      if (issue.input === undefined) return `is required: ${kindName(issue.expected)}`;
      return `must be ${kindName(issue.expected)}, found ${show(issue.input)}`;
    case 'too_small':
      return 'must not be empty';
    default:
      return undefined;
  }
}

function unknownField(key: string, known: readonly string[]): string {
  const nearest = nearestName(key, known);
  return `unknown field ${show(key)}${nearest === undefined ? '' : `; did you mean ${show(nearest)}?`} (fields here: ${known.join(', ')})`;
}

function fieldsOf(schema: unknown): readonly string[] {
  return schema instanceof z.ZodObject ? Object.keys(schema.shape) : [];
}

const KIND_NAMES: Readonly<Record<string, string>> = {
  object: 'a section with fields of its own',
  record: 'a section with fields of its own',
  array: 'a list',
  tuple: 'a list',
  string: 'a text',
  boolean: 'true or false',
};

function kindName(expected: string): string {
  return KIND_NAMES[expected] ?? `a ${expected}`;
}

/** A value as it may stand in a message: short, in JSON. */
function show(value: unknown): string {
  if (value === undefined || value === null) return 'nothing';
  const text = typeof value === 'number' ? String(value) : (JSON.stringify(value) ?? String(value));
  return text.length > 48 ? `${text.slice(0, 45)}…` : text;
}
