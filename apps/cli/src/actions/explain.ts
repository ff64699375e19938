import { join } from 'node:path';
import { LongtailError, type StoredEvent } from '@longtail/core';
import { comparePlan, readEvents, RUN_FILES } from '@longtail/store';
import type { Output } from '../terminal/output.js';
import { explainLines, measuredLines, measuredRun } from '../view/explain.js';
import { workersByName } from '../view/progress.js';
import { findRunFolder } from './run-folder.js';

interface ExplainOptions {
  readonly runs: string;
}

export async function explain(output: Output, options: ExplainOptions, run: string): Promise<number> {
  const events = await readEvents(join(await findRunFolder(run, options.runs), RUN_FILES.events));
  const comparison = comparePlan(events);
  const sync = events.flatMap(({ body }) => (body.event === 'sync' ? [body] : []));
  const chosen = sync.length > 0 && { sync };
  const measured = comparison === undefined && !hasPlan(events) ? measuredRun(events) : undefined;
  if (comparison !== undefined) {
    output.event({ event: 'explained', ...comparison, ...chosen });
    if (!output.json) explainLines(comparison, output.colors).forEach((line) => output.line(line));
  } else if (measured !== undefined) {
    output.event({ event: 'explained', workers: workersByName(measured.progress), ...chosen });
    if (!output.json) measuredLines(measured, output.colors).forEach((line) => output.line(line));
  } else throw nothingToExplain(events, run);
  if (!output.json) sync.forEach(({ reason }, i) => output.line(`${i === 0 ? 'sync' : 'then'}: ${reason}`));
  return 0;
}

function hasPlan(events: readonly StoredEvent[]): boolean {
  return events.some(({ body }) => body.event === 'planned');
}

function nothingToExplain(events: readonly StoredEvent[], run: string): LongtailError {
  if (hasPlan(events)) {
    return new LongtailError(`The run ${run} has done no whole round under its plan: there is nothing to hold against it yet.`, {
      code: 'usage',
      where: run,
      hint: '`longtail logs` tells what happened so far.',
    });
  }
  return new LongtailError(`The run ${run} has no plan: every worker held the whole model, so that all were solo and shares followed their speed.`, {
    code: 'usage',
    where: run,
    hint: 'Its report.html shows who did what; `longtail plan JOB` says what to expect of a layout.',
  });
}
