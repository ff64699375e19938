import { join } from 'node:path';
import type { Verdict } from '@longtail/core';
import { EXIT_CODES, LongtailError } from '@longtail/core';
import { RUN_FILES } from '@longtail/store';
import { verdictLines, workerTable } from '../view/summary.js';
import type { Followed } from './follow.js';
import type { Output } from './output.js';

/** Says how a run ended and who did what; returns the exit code. */
export function concludeRun({ progress, verdict }: Followed, folder: string, output: Output): number {
  if (verdict === undefined) {
    throw new LongtailError(`The run ${progress.run} ended without a verdict.`, {
      code: 'unreachable',
      hint: 'The server has probably died; what was saved lies in the runs folder.',
    });
  }
  if (!output.json) {
    if (!output.quiet) output.line(`\n${workerTable(progress, output.colors)}\n`);
    for (const line of verdictLines(verdict, join(folder, RUN_FILES.report), output.colors)) output.line(line);
  }
  if (verdict.status === 'failed')
    output.fail(
      verdict.error === undefined ? new LongtailError(verdict.reason, { code: 'internal' }) : LongtailError.fromWire(verdict.error),
    );
  return exitCodeOf(verdict);
}

/** 0 for success, that of the error for a failure, 130 for a run that was cancelled. */
function exitCodeOf(verdict: Verdict): number {
  if (verdict.status === 'succeeded') return 0;
  if (verdict.status === 'cancelled') return EXIT_CODES.cancelled;
  return verdict.error === undefined ? EXIT_CODES.internal : LongtailError.fromWire(verdict.error).exitCode;
}
