import { html, type Markup } from '@longtail/core';
import { downsample, smooth, type Point } from './downsample.js';
import { lineChart, type Axis, type LineChart, type Series } from './line-chart.js';
import type { CurvePoint, RunData } from './run-data.js';
import { formatAxisCount, formatClock, linearScale, logScale, niceScale, timeScale, type Scale } from './scale.js';

/** Points a drawn curve keeps, and those that answer the pointer. */
const DRAWN = 500;
const SMOOTHED = 240;
/** Beyond this ratio of its largest to its smallest value, a loss is easier to read on a logarithmic axis. */
const LOG_FROM_RATIO = 8;

/** Loss and accuracy, against time and against samples. */
export function curveCharts(data: RunData): Markup {
  const views = [
    { name: 'time', axis: timeAxis(data), at: (point: CurvePoint) => point.seconds, marks: undefined },
    { name: 'samples', axis: samplesAxis(data), at: (point: CurvePoint) => point.samples, marks: epochMarks(data) },
  ];
  return html`${views.map(
    ({ name, axis, at, marks }) =>
      html`<div class="pair by-${name}">
        ${lineChart(`loss-${name}`, { ...lossChart(data, at), x: axis, marks })}
        ${hasAccuracy(data) && lineChart(`accuracy-${name}`, { ...accuracyChart(data, at), x: axis, marks })}
      </div>`,
  )}`;
}

/** False for regression, where nothing is right or wrong. */
export function hasAccuracy(data: RunData): boolean {
  return [...data.trainAccuracy, ...data.validationAccuracy].some(({ value }) => value > 0);
}

/** The time axis of all charts of a run. */
export function timeAxis({ seconds }: RunData): Axis {
  return { scale: timeScale(seconds, 6), label: 'Time since launch', format: (value) => formatClock(value, seconds) };
}

function samplesAxis({ samplesApplied }: RunData): Axis {
  return { scale: linearScale(0, Math.max(1, samplesApplied), 6), label: 'Samples applied', format: formatAxisCount };
}

function epochMarks({ samplesPerEpoch, samplesApplied }: RunData): LineChart['marks'] {
  if (samplesPerEpoch === undefined) return undefined;
  const epochs = Math.floor(samplesApplied / samplesPerEpoch);
  if (epochs > 12) return undefined;
  return Array.from({ length: epochs }, (_, i) => ({ x: (i + 1) * samplesPerEpoch, label: `epoch ${i + 1}` }));
}

type At = (point: CurvePoint) => number;

function lossChart(data: RunData, at: At): Omit<LineChart, 'x'> {
  const series = seriesOf(data.trainLoss, data.validationLoss, at);
  const [low, high] = extremes(series);
  const scale = low > 0 && high / low > LOG_FROM_RATIO ? logScale(low, high) : niceScale(Math.min(0, low), high, 5);
  const format = (value: number): string => String(Number(value.toPrecision(4)));
  return {
    title: 'Loss',
    y: { scale, label: scale.log ? 'Loss (logarithmic)' : 'Loss', format },
    series,
    formatValue: (value) => value.toPrecision(4),
  };
}

function accuracyChart(data: RunData, at: At): Omit<LineChart, 'x'> {
  const series = seriesOf(data.trainAccuracy, data.validationAccuracy, at);
  const { scale, note } = accuracyScale(series);
  const digits = scale.max - scale.min <= 0.05 ? 1 : 0;
  return {
    title: 'Accuracy',
    note,
    y: { scale, label: 'Accuracy', format: (value) => `${(value * 100).toFixed(digits)} %` },
    series,
    formatValue: (value) => `${(value * 100).toFixed(2)} %`,
  };
}

/** Where most of the run took place: the steep start would flatten what people compare. */
function accuracyScale(series: readonly Series[]): { scale: Scale; note: string | undefined } {
  const values = series.flatMap(({ points }) => points.map(({ y }) => y)).sort((a, b) => a - b);
  const low = values[Math.floor(values.length * 0.06)] ?? 0;
  const high = values.at(-1) ?? 1;
  const scale = niceScale(Math.max(0, Math.min(low, high - 0.02)), high > 0.5 ? 1 : high, 5);
  return { scale, note: scale.min > (values[0] ?? 0) ? `axis from ${Math.round(scale.min * 100)} %` : undefined };
}

function seriesOf(train: readonly CurvePoint[], validation: readonly CurvePoint[], at: At): readonly Series[] {
  const raw = train.map((point): Point => ({ x: at(point), y: point.value }));
  const reach = Math.min(25, Math.floor(raw.length / 60));
  const series: Series[] = [];
  if (raw.length > 0) {
    const points = downsample(smooth(raw, reach), SMOOTHED);
    series.push({
      name: reach > 0 ? 'training (smoothed)' : 'training',
      colour: 'var(--train)',
      points,
      raw: reach > 0 ? downsample(raw, DRAWN) : undefined,
    });
  }
  if (validation.length > 0) {
    const points = validation.map((point): Point => ({ x: at(point), y: point.value }));
    series.push({ name: 'validation', colour: 'var(--validation)', points: downsample(points, SMOOTHED), dots: points.length <= 40 });
  }
  return series;
}

function extremes(series: readonly Series[]): [low: number, high: number] {
  let [low, high] = [Infinity, -Infinity];
  for (const { points } of series) for (const { y } of points) [low, high] = [Math.min(low, y), Math.max(high, y)];
  return low <= high ? [low, high] : [0, 1];
}
