import type { Job, JobWorker } from '@longtail/core';
import { z } from 'zod';
import { integer } from './fields.js';

const worker = z
  .union([z.string().min(1).max(100), integer({ min: 1, max: 100_000 })], {
    error: ({ input }) => `must be the name of a worker, or its number in the order of joining from 1, found ${JSON.stringify(input)}`,
  })
  .describe('Name of the worker, or its number in the order of joining, from 1');

const stage = z
  .strictObject({
    worker: worker.optional(),
    workers: z
      .array(worker)
      .min(1)
      .max(1000)
      .optional()
      .describe('In the place of worker: replicas of the stage, each of which takes a share of the microbatches by its speed'),
    blocks: integer({ min: 1, max: 100_000 }).optional().describe("How many of the model's blocks; a worker alone in its group has all"),
  })
  .describe('A stage');

export const layoutSchema = z.array(z.array(stage).min(1).max(1000)).min(1).max(10_000);

type StageFile = z.output<typeof stage>;

/** What is wrong with a group, or with a stage of it; both from 0. */
interface LayoutProblem {
  readonly message: string;
  readonly group: number;
  readonly stage?: number;
}

export function workersOf({ worker, workers }: StageFile): readonly JobWorker[] {
  return workers ?? (worker === undefined ? [] : [worker]);
}

/** Whatever no run could do with this order of passes. */
export function layoutProblems(groups: z.output<typeof layoutSchema>, schedule: Job['cluster']['schedule']): readonly LayoutProblem[] {
  const elsewhere = new Set<JobWorker>();
  return groups.flatMap((stages, group) => {
    const problems = stages.flatMap((stage, at) => {
      const message = stageProblem(stage, stages.length, elsewhere);
      return message === undefined ? [] : [{ message, group, stage: at }];
    });
    for (const worker of stages.flatMap(workersOf)) elsewhere.add(worker);
    if (problems.length > 0) return problems;
    return (schedule === 'interleaved' && stages.length > 1 ? turnProblems(stages) : repeatProblems(stages)).map((problem) => ({
      ...problem,
      group,
    }));
  });
}

/** Of one of `stages` stages, whatever the order of passes. */
function stageProblem(stage: StageFile, stages: number, elsewhere: ReadonlySet<JobWorker>): string | undefined {
  const workers = workersOf(stage);
  const names = workers.join(', ');
  if ((stage.worker === undefined) === (stage.workers === undefined)) return 'needs either worker or workers';
  if (new Set(workers).size < workers.length) return `one of the workers ${names} is named twice`;
  const again = workers.find((worker) => elsewhere.has(worker));
  if (again !== undefined) return `worker ${again} is in another group already`;
  if (stages > 1 && stage.blocks === undefined) return `the stage of ${names} needs blocks: how many of the model's it has`;
  if (stages === 1 && workers.length > 1) return `the whole model on ${names} is no stage with replicas: give each a group of its own`;
  return undefined;
}

type InGroup = Omit<LayoutProblem, 'group'>;

/** A worker has one stage. */
function repeatProblems(stages: readonly StageFile[]): readonly InGroup[] {
  const seen = new Set<JobWorker>();
  return stages.flatMap((stage, at) => {
    const again = workersOf(stage).find((worker) => seen.has(worker));
    for (const worker of workersOf(stage)) seen.add(worker);
    return again === undefined
      ? []
      : [{ message: `worker ${again} has a stage already: only the schedule interleaved gives it several`, stage: at }];
  });
}

/** Each worker has several stages, one at each turn. */
function turnProblems(stages: readonly StageFile[]): readonly InGroup[] {
  const replicated = stages.findIndex((stage) => workersOf(stage).length > 1);
  if (replicated >= 0)
    return [{ message: 'the schedule interleaved takes one worker a stage: replicas are for the others', stage: replicated }];
  const order = stages.map((stage) => workersOf(stage)[0]!);
  const workers = [...new Set(order)];
  const names = workers.join(', ');
  if (workers.length === 1)
    return [{ message: `worker ${names} has all stages: name it once, without blocks, and it holds the whole model` }];
  if (workers.length === order.length)
    return [{ message: `the schedule interleaved wants several stages on each worker: ${names}, and again` }];
  const wrong = order.findIndex((worker, at) => worker !== workers[at % workers.length]);
  const message = `the schedule interleaved wants the workers of a group in turn: ${names}, and again`;
  if (wrong >= 0) return [{ message, stage: wrong }];
  return order.length % workers.length === 0 ? [] : [{ message: `${message}, as many stages on each` }];
}
