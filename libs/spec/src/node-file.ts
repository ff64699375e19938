import { z } from 'zod';
import { duration, real, size } from './fields.js';
import { parseHours, type Hours } from './hours.js';
import { parseBitRate, parseByteSize, parsePart, parsePower } from './units.js';

/** What the owner of a node lets it do; what is not there is not limited. */
export interface OwnerLimits {
  /** That models may take. */
  readonly memoryBytes?: number;
  /** Of the time, in which the device computes. */
  readonly share?: number;
  /** Of all tensors that it sends. */
  readonly uploadBitsPerSecond?: number;
  /** In which it works. */
  readonly hours?: readonly Hours[];
  /** Nobody has used the machine for so long. */
  readonly idleMs?: number;
  /** Of the hottest processor. */
  readonly celsius?: number;
  /** Of all processors together. */
  readonly watts?: number;
}

/** For `onlyIdle: true`. */
export const DEFAULT_IDLE_MS = 300_000;

/** `22:00-07:00`, or a list of such. */
export const hoursField = z
  .union([z.string(), z.array(z.string()).min(1)], { error: () => HOURS_EXPECTED })
  .transform((value, context): readonly Hours[] => {
    const parsed = [value].flat().map(parseHours);
    if (parsed.every((one) => one !== undefined)) return parsed.flat();
    context.issues.push({ code: 'custom', message: HOURS_EXPECTED, input: value });
    return z.NEVER;
  });
const HOURS_EXPECTED = 'must be hours like 22:00-07:00 or mon-fri 18:00-08:00';

/** The file in which the owner of a node keeps its limits. */
export const nodeFileSchema = z.strictObject({
  maxMemory: size('a size above 0, like 6GiB', parseByteSize).optional().describe('Memory that models may take; default: all there is'),
  share: size('a part above 0 and at most 100%, like 50%', parsePart).optional().describe('Part of the time in which the device computes; default: all of it'),
  maxUpload: size('a rate above 0, like 10mbit', parseBitRate).optional().describe('Most that tensors may take of the uplink; default: all of it'),
  hours: hoursField.optional().describe('When it works, by the local time: 22:00-07:00, mon-fri 18:00-08:00; one text or a list; default: always'),
  onlyIdle: z
    .union([z.boolean(), duration(1000, 86_400_000)])
    .optional()
    .describe('Work only when nobody has used the machine for this long; true: 5 minutes'),
  maxTemperature: real({ min: 30, max: 120 }).optional().describe('Of the hottest processor, in °C: above it the node rests'),
  maxPower: size('a power above 0, like 200W', parsePower).optional().describe('Of all processors together: above it the node rests'),
});

export function limitsOf(file: z.output<typeof nodeFileSchema>): OwnerLimits {
  const { maxMemory, share, maxUpload, onlyIdle, maxTemperature, maxPower } = file;
  const idleMs = onlyIdle === true ? DEFAULT_IDLE_MS : onlyIdle || undefined;
  return { memoryBytes: maxMemory, share, uploadBitsPerSecond: maxUpload, hours: file.hours, idleMs, celsius: maxTemperature, watts: maxPower };
}
