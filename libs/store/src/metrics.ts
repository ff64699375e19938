import { standingEvents, type StoredEvent } from '@longtail/core';

/** Columns of metrics.csv; a cell is empty where the event has no such value. */
const COLUMNS = [
  'time_s',
  'split',
  'round',
  'version',
  'epoch',
  'samples_applied',
  'loss',
  'accuracy',
  'learning_rate',
  'gradient_norm',
  'samples_per_second',
] as const;

const METRICS_HEADER = `${COLUMNS.join(',')}\n`;

/** The line of metrics.csv for a commit or a validation; undefined for other events. `time_s` counts from `startMs`. */
export function metricsLine({ timeMs, body }: StoredEvent, startMs: number): string | undefined {
  const time = ((timeMs - startMs) / 1000).toFixed(3);
  if (body.event === 'commit' && body.samples > 0) {
    const { round, version, epoch, samplesApplied, loss, accuracy, learningRate, gradientNorm, samplesPerSecond } = body;
    return toLine([time, 'train', round, version, epoch, samplesApplied, loss, accuracy, learningRate, gradientNorm, samplesPerSecond]);
  }
  if (body.event === 'validation')
    return toLine([time, 'validation', '', body.version, body.epoch, '', body.loss, body.accuracy, '', '', '']);
  return undefined;
}

/** metrics.csv of a whole log, without what was undone. */
export function metricsCsv(events: readonly StoredEvent[]): string {
  const startMs = events[0]?.timeMs ?? 0;
  return METRICS_HEADER + standingEvents(events).map((event) => metricsLine(event, startMs) ?? '').join('');
}

function toLine(cells: readonly (number | string | null)[]): string {
  return `${cells.map((cell) => cell ?? '').join(',')}\n`;
}
