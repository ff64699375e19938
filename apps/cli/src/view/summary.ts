import type { Verdict } from '@longtail/core';
import { formatBytes, formatCount, formatSeconds, timeParts, uplinkInWords } from '@longtail/core';
import type { Colors } from './colors.js';
import { percent, showLoss } from './marks.js';
import type { RunProgress } from './progress.js';
import { workersByName } from './progress.js';
import { renderTable } from './table.js';

const HEADINGS = ['worker', 'engine', 'pace', 'samples', 'share', 'samples/s', 'compute', 'busy', 'up', 'down'];

/** Who did what: a row a worker; empty where none came. */
export function workerTable(progress: RunProgress, colors: Colors): string {
  const workers = workersByName(progress);
  if (workers.length === 0) return '';
  const total = workers.reduce((sum, worker) => sum + worker.ownSamples, 0) || 1;
  const trainingMs = progress.startedAtMs === undefined ? 0 : progress.timeMs - progress.startedAtMs;
  return renderTable(
    HEADINGS,
    workers.map((worker) => [
      worker.gone === undefined ? worker.name : `${worker.name} (left)`,
      worker.engine,
      String(worker.throttle),
      formatCount(worker.samples),
      percent(worker.samples / total, 1),
      formatCount(worker.samplesPerSecond),
      formatSeconds(worker.computeMs / 1000),
      trainingMs > 0 ? percent(Math.min(1, worker.computeMs / trainingMs)) : '–',
      formatBytes(worker.bytesUp),
      formatBytes(worker.bytesDown),
    ]),
    colors,
    2,
  );
}

/** Where each worker's time went beside computing, what the codec saved, and whether compute hides the uplink; empty where no contribution says. */
export function exchangeTable(progress: RunProgress, colors: Colors): string {
  const rows = workersByName(progress).flatMap(({ name, computeMs, bytesUp, bytesSaved, exchange }) => {
    if (exchange === undefined) return [];
    const { computes, receives, codes, sends, waits } = timeParts(computeMs, exchange);
    const saved = bytesSaved === 0 ? '–' : `${formatBytes(bytesSaved)} of ${formatBytes(bytesUp + bytesSaved)}`;
    return [[name, ...[computes, receives, codes, sends, waits].map((part) => percent(part, 1)), saved, uplinkInWords(sends)]];
  });
  return rows.length === 0 ? '' : renderTable(['worker', 'computes', 'receives', 'codes', 'sends', 'waits', 'codec saves up', 'uplink'], rows, colors, 1);
}

const STATUS_COLOR = { succeeded: 'green', failed: 'red', cancelled: 'yellow' } as const satisfies Record<Verdict['status'], keyof Colors>;

/** The verdict in words: what came of the run, and where it is. */
export function verdictLines(verdict: Verdict, report: string, colors: Colors): string[] {
  const { validation_accuracy: accuracy, validation_loss: loss } = verdict.metrics;
  const figures = [
    ...(accuracy === null || accuracy === 0 ? [] : [`validation accuracy ${colors.bold(percent(accuracy, 2))}`]),
    ...(loss === null ? [] : [`validation loss ${colors.bold(showLoss(loss))}`]),
    `${formatCount(verdict.samples.applied)} samples${verdict.samples.lost > 0 ? ` (${formatCount(verdict.samples.lost)} lost)` : ''}`,
    formatSeconds(verdict.seconds),
    `up ${formatBytes(verdict.bytes.up)}, down ${formatBytes(verdict.bytes.down)}${verdict.bytes.direct > 0 ? `, ${formatBytes(verdict.bytes.direct)} direct` : ''}`,
  ];
  return [
    colors[STATUS_COLOR[verdict.status]](`${verdict.job} ${verdict.status}`) +
      (verdict.status === 'succeeded' ? '' : `: ${verdict.reason.replace(/^cancelled: /, '')}`),
    figures.join(colors.dim(' · ')),
    ...(verdict.model ? [`model   ${verdict.model}`] : []),
    `report  ${report}`,
  ];
}
