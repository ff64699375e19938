import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';
import type { Verdict } from '@longtail/core';
import { EXIT_CODES, LongtailError } from '@longtail/core';
import { comparePlan, readEvents, RUN_FILES } from '@longtail/store';
import { explainLines } from '../view/explain.js';
import { exchangeTable, verdictLines, workerTable } from '../view/summary.js';
import type { Followed } from './follow.js';
import type { Output } from './output.js';

/** Says how a run ended, who did what, and what came of its plan where it had one; returns the exit code. `launchedIn`: the run's folder, unless a standby ended it, which has one of its own. */
export async function concludeRun({ progress, verdict }: Followed, launchedIn: string, output: Output): Promise<number> {
  if (verdict === undefined) {
    throw new LongtailError(`The run ${progress.run} ended without a verdict.`, {
      code: 'unreachable',
      hint: 'The server has probably died; what was saved lies in the runs folder.',
    });
  }
  const folder = verdict.model === '' ? launchedIn : dirname(verdict.model);
  if (!output.json) {
    if (!output.quiet) {
      const tables = [workerTable(progress, output.colors), exchangeTable(progress, output.colors)].filter((table) => table !== '');
      output.line(['', ...tables.map((table) => `${table}\n`)].join('\n'));
    }
    for (const line of verdictLines(verdict, join(folder, RUN_FILES.report), output.colors)) output.line(line);
    if (!output.quiet) for (const line of await comparisonLines(folder, output)) output.line(line);
  }
  if (verdict.status === 'failed')
    output.fail(
      verdict.error === undefined ? new LongtailError(verdict.reason, { code: 'internal' }) : LongtailError.fromWire(verdict.error),
    );
  return exitCodeOf(verdict);
}

/** None for a run without a plan, or whose folder is on another machine. */
async function comparisonLines(folder: string, { colors }: Output): Promise<readonly string[]> {
  const log = join(folder, RUN_FILES.events);
  const comparison = existsSync(log) ? comparePlan(await readEvents(log)) : undefined;
  return comparison === undefined ? [] : ['', ...explainLines(comparison, colors)];
}

/** 0 for success, that of the error for a failure, 130 for a run that was cancelled. */
function exitCodeOf(verdict: Verdict): number {
  if (verdict.status === 'succeeded') return 0;
  if (verdict.status === 'cancelled') return EXIT_CODES.cancelled;
  return verdict.error === undefined ? EXIT_CODES.internal : LongtailError.fromWire(verdict.error).exitCode;
}
