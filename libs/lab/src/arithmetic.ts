import { LongtailError } from '@longtail/core';
import { samplesOf, type ArmTask } from './run-arm.js';
import type { Workbench } from './workbench.js';

/** What arms compute, forward and backward. */
export interface Arithmetic {
  readonly runs: number;
  readonly flops: number;
}

/** Without what validations take, and arms that cannot be: they say so themselves. */
export async function arithmeticOf(tasks: readonly Pick<ArmTask, 'arm'>[], workbench: Workbench): Promise<Arithmetic> {
  let [runs, flops] = [0, 0];
  for (const { arm: { job, refusal } } of tasks) {
    if (refusal !== undefined) continue;
    const opened = await workbench.open(job).catch(impossible);
    if (opened === undefined) continue;
    runs++;
    flops += samplesOf(opened.job, opened) * opened.flopsPerSample;
  }
  return { runs, flops };
}

function impossible(error: unknown): undefined {
  if (error instanceof LongtailError) return undefined;
  throw error;
}
