import { join } from 'node:path';
import { LongtailError, type StoredEvent } from '@longtail/core';
import { comparePlan, readEvents, RUN_FILES, type PlanComparison } from '@longtail/store';
import type { Output } from '../terminal/output.js';
import { explainLines } from '../view/explain.js';
import { findRunFolder } from './run-folder.js';

interface ExplainOptions {
  readonly runs: string;
}

export async function explain(output: Output, options: ExplainOptions, run: string): Promise<number> {
  const comparison = compared(await readEvents(join(await findRunFolder(run, options.runs), RUN_FILES.events)), run);
  if (output.json) output.event({ event: 'explained', ...comparison });
  else explainLines(comparison, output.colors).forEach((line) => output.line(line));
  return 0;
}

function compared(events: readonly StoredEvent[], run: string): PlanComparison {
  const comparison = comparePlan(events);
  if (comparison !== undefined) return comparison;
  if (events.some(({ body }) => body.event === 'planned')) {
    throw new LongtailError(`The run ${run} has done no whole round under its plan: there is nothing to hold against it yet.`, {
      code: 'usage',
      where: run,
      hint: '`longtail logs` tells what happened so far.',
    });
  }
  throw new LongtailError(`The run ${run} has no plan: every worker held the whole model, so that all were solo and shares followed their speed.`, {
    code: 'usage',
    where: run,
    hint: 'Its report.html shows who did what; `longtail plan JOB` says what to expect of a layout.',
  });
}
