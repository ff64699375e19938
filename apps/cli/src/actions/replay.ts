import { LongtailError } from '@longtail/core';
import { replayRun, type ReplayReport } from '@longtail/parameter-server';
import { openCheckpointStore } from '@longtail/store';
import { createLogUpdate } from 'log-update';
import type { Output } from '../terminal/output.js';
import { bar, percent } from '../view/marks.js';
import { replayLines } from '../view/replay.js';
import { findRunFolder } from './run-folder.js';

interface ReplayOptions {
  readonly runs: string;
  readonly at?: number;
  /** Where the checkpoints are: a folder or a bucket. */
  readonly checkpoints?: string;
}

const REDRAW_MS = 200;

export async function replay(output: Output, { runs, at, checkpoints: where }: ReplayOptions, run: string): Promise<number> {
  const folder = await findRunFolder(run, runs);
  const checkpoints = where === undefined ? undefined : await openCheckpointStore(where);
  const startedAtMs = performance.now();
  const shown = output.live ? showProgress() : undefined;
  let report: ReplayReport;
  try {
    report = await replayRun(folder, { at, checkpoints, progress: shown?.progress });
  } finally {
    shown?.end();
  }
  const seconds = (performance.now() - startedAtMs) / 1000;
  const error = problemOf(report);
  const { missing, ...rest } = report;
  output.event({ event: 'replayed', ...rest, seconds, ...(missing && { missing: missing.toWire() }) });
  if (!output.json) replayLines(report, seconds, output.colors).forEach((line) => output.line(line));
  if (error === undefined) return 0;
  output.fail(error);
  return error.exitCode;
}

function problemOf({ first, missing, version }: ReplayReport): LongtailError | undefined {
  if (first === undefined) return missing;
  return new LongtailError(`Version ${first.version} of ${version} differs: ${first.reason}.`, {
    code: 'differs',
    hint: first.after > 0 && missing === undefined ? `Versions up to ${first.after} agree; \`longtail fork\` goes on from a checkpoint of one of them.` : undefined,
  });
}

function showProgress() {
  const log = createLogUpdate(process.stdout);
  let drawnAtMs = -Infinity;
  return {
    progress(version: number, last: number): void {
      const nowMs = performance.now();
      if (nowMs - drawnAtMs < REDRAW_MS) return;
      drawnAtMs = nowMs;
      log(`${bar(version / last, 30, '·')} ${percent(version / last)}  version ${version} of ${last}`);
    },
    end: () => log.clear(),
  };
}
