import { z } from 'zod';
import { choice, duration, real } from './fields.js';
import { hoursField } from './node-file.js';

const YEAR_MS = 366 * 86_400_000;
const away = duration(1, YEAR_MS).describe('Mean time that it is away');

/** How a machine comes and goes. */
export const churnSchema = choice('kind of churn', [
  z
    .strictObject({
      type: z.literal('exponential').describe('It goes without a word, as likely at any moment'),
      here: duration(1, YEAR_MS).describe('Mean time that it stays'),
      away,
    })
    .describe('Exponential'),
  z
    .strictObject({
      type: z.literal('weibull').describe('It goes without a word; with a shape below 1 those who stayed stay (volunteers), above 1 they wear out'),
      here: duration(1, YEAR_MS).describe('Mean time that it stays'),
      shape: real({ above: 0, max: 20 }).describe('Of the Weibull distribution'),
      away,
    })
    .describe('Weibull'),
  z
    .strictObject({
      type: z.literal('hours').describe('It rests outside of its hours, and stays connected'),
      hours: hoursField.describe('When it works: 22:00-07:00, mon-fri 18:00-08:00; by the clock that fleet.begins sets'),
    })
    .describe('Hours of the day'),
  z
    .strictObject({
      type: z.literal('trace').describe('As it was written down'),
      path: z.string().min(1).describe('CSV with a header: node, from and to (seconds); a line for each time that a machine is here; relative to this file'),
    })
    .describe('Trace'),
]);
