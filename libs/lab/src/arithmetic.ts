import { LongtailError } from '@longtail/core';
import type { BenchScenario } from '@longtail/spec';
import { samplesOf } from './run-arm.js';
import type { Workbench } from './workbench.js';

/** What all arms and seeds of a scenario compute, forward and backward. */
export interface Arithmetic {
  readonly runs: number;
  readonly flops: number;
}

/** Without what validations take, and arms that cannot be: they say so themselves. */
export async function arithmeticOf({ arms, seeds }: Pick<BenchScenario, 'arms' | 'seeds'>, workbench: Workbench): Promise<Arithmetic> {
  let [runs, flops] = [0, 0];
  for (const { job, refusal } of arms) {
    if (refusal !== undefined) continue;
    const opened = await workbench.open(job).catch(impossible);
    if (opened === undefined) continue;
    runs += seeds.length;
    flops += seeds.length * samplesOf(opened.job, opened) * opened.flopsPerSample;
  }
  return { runs, flops };
}

function impossible(error: unknown): undefined {
  if (error instanceof LongtailError) return undefined;
  throw error;
}
