import { z } from 'zod';
import { duration, integer, name, real } from './fields.js';
import { fileOr } from './file-or.js';
import { jobFileSchema } from './job-file.js';
import { scenarioFleetSchema } from './scenario-fleet.js';

const armValue = z.union([z.string(), z.number(), z.boolean()], { error: 'must be a text, a number, true or false' });

/** A list of fields that are lists has a list for each. */
const tried = z.array(z.union([armValue, z.array(armValue)])).min(1);

const arm = z
  .record(z.string(), z.union([armValue, tried], { error: 'must be a value, or a list of values to try' }))
  .describe(
    'Fields and values: name; planner (planned, solo, equal, random); strategy, codec and schedule for sync.strategy, sync.codec and cluster.schedule; and any field of the job, like sync.localSteps. A list of values tries each, with each of the other lists; of a field that is a list itself, a list of lists',
  );

const prices = z.strictObject({
  electricity: real({ min: 0 }).default(0.3).describe('Dollars a kWh'),
  idle: real({ min: 0, max: 1 }).default(0.2).describe('Part of its watts that a machine takes while it waits'),
  lifetime: duration(3_600_000, 100 * 366 * 86_400_000).prefault('26280h').describe('Over which the price of a machine is written off; default: three years'),
});

const evaluation = z.strictObject({
  points: integer({ min: 1, max: 10_000 }).default(32).describe('How often in a run, at equal distances in samples'),
  samples: integer({ min: 1 }).default(512).describe('Of the validation split'),
});

const likeness = z.strictObject({
  parameters: real({ above: 0 }).describe('Values of its model'),
  flopsPerSample: real({ above: 0 }).optional().describe('Forward and backward; default: as many times that of the job as it has parameters'),
});

const seeds = z
  .array(integer({ min: 0, max: 4_294_967_295 }))
  .min(1)
  .max(1000)
  .check(({ value, issues }) => {
    const twice = value.find((seed, i) => value.indexOf(seed) < i);
    if (twice !== undefined) issues.push({ code: 'custom', message: `${twice} is there twice`, input: value });
  })
  .default([1])
  .describe('Each arm runs once with each');

/** A scenario file: a fleet, a job, and the ways of training to compare. */
export const scenarioFileSchema = z.strictObject({
  name: name.optional().describe('Default: name of the file'),
  description: z.string().default('').describe('What it is about, for the report'),
  job: fileOr('job', jobFileSchema).describe('What is trained: the path of a job file (relative to this file), or a job'),
  standsFor: likeness
    .optional()
    .describe('A larger model, whose times and bytes everything takes while the small one of the job learns; default: none, the job is meant as it is'),
  fleet: scenarioFleetSchema.describe('On what'),
  arms: z.array(arm).min(1).max(1000).describe('The ways of training to compare'),
  seeds,
  targetLoss: real({ above: 0 }).optional().describe('Validation loss to reach: who is there first wins'),
  prices: prices.prefault({}).describe('What energy and machines cost'),
  evaluation: evaluation.prefault({}).describe('With --mode virtual: when to look how good the model is, beside the run and outside of its time'),
  limit: duration(1000, 3660 * 86_400_000).prefault('7d').describe('Virtual time after which an arm has failed'),
});
