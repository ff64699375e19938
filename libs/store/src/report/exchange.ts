import { formatBytes, HIDDEN_PART, html, timeParts, uplinkInWords, type Markup } from '@longtail/core';
import { timeAxis } from './curves.js';
import { downsample, smooth, type Point } from './downsample.js';
import { lineChart, type Series } from './line-chart.js';
import type { CurvePoint, RunData, WorkerData } from './run-data.js';
import { niceScale } from './scale.js';
import { workerColour } from './theme.js';

/** Points that a drawn curve keeps. */
const DRAWN = 240;
/** Curves that can be told apart. */
const MAX_CURVES = 8;

/** What a worker's time goes to, as it lies in the bars. */
const PARTS = [
  { part: 'computes', title: 'Computes', colour: 'var(--compute)' },
  { part: 'receives', title: 'Receives', colour: 'var(--receive)' },
  { part: 'sends', title: 'Sends', colour: 'var(--transfer)' },
  { part: 'waits', title: 'Waits', colour: 'var(--wait)' },
] as const;

/** Where each worker's time went beside computing, whether its uplink is hidden, and how local steps adapt; undefined where no contribution says. */
export function exchangeSection(data: RunData): Markup | undefined {
  const workers = data.workers.filter(({ exchange }) => exchange !== undefined);
  if (workers.length === 0) return undefined;
  return html`${timeTable(data, workers)}
    <div class="pair">${data.localSteps.length > 0 && stepsChart(data)}${uplinkChart(data)}</div>
    ${data.localStepsReason !== '' && html`<p class="note">Local steps at the end: ${data.localStepsReason}.</p>`}`;
}

function timeTable(data: RunData, workers: readonly WorkerData[]): Markup {
  return html`<div class="scroll">
    <table>
      <thead>
        <tr>
          <th>Worker</th>
          <th>Its time</th>
          ${PARTS.map(({ title, colour }) => html`<th class="n"><i class="key" style="background:${colour}"></i>${title}</th>`)}
          <th class="n">Codes</th>
          <th class="n">Codec saves, up</th>
          <th>Uplink</th>
        </tr>
      </thead>
      <tbody>
        ${workers.map((worker) => timeRow(worker, colourOf(data, worker.name)))}
      </tbody>
    </table>
  </div>`;
}

function timeRow({ name, computeMs, exchange, bytesUp, bytesSaved }: WorkerData, colour: string): Markup {
  const parts = timeParts(computeMs, exchange!);
  const saved = bytesSaved > 0 ? `${formatBytes(bytesSaved)} of ${formatBytes(bytesUp + bytesSaved)}` : '–';
  return html`<tr>
    <td class="name"><i class="key" style="background:${colour}"></i>${name}</td>
    <td class="name">
      <span class="bar parts">${PARTS.map(({ part, colour: its }) => html`<b style="width:${(100 * parts[part]).toFixed(1)}%;background:${its}"></b>`)}</span>
    </td>
    ${PARTS.map(({ part }) => html`<td class="n">${percent(parts[part])}</td>`)}
    <td class="n">${percent(parts.codes)}</td>
    <td class="n">${saved}</td>
    <td class="name">${uplinkInWords(parts.sends)}</td>
  </tr>`;
}

/** In steps: a count holds until the next one. */
function stepsChart(data: RunData): Markup {
  const series = data.localSteps.slice(0, MAX_CURVES).map(({ name, points }): Series => ({ name, colour: colourOf(data, name), points: downsample(held(points, data.seconds), DRAWN) }));
  const most = Math.max(1, ...series.flatMap(({ points }) => points.map(({ y }) => y)));
  return lineChart('local-steps', {
    title: 'Local steps between two exchanges',
    x: timeAxis(data),
    y: { scale: niceScale(0, most, 5), label: 'Steps (H)', format: String },
    series,
    formatValue: (value) => `${Math.round(value)} steps`,
  });
}

function uplinkChart(data: RunData): Markup {
  const series = data.workers.slice(0, MAX_CURVES).flatMap(({ name, sends }): Series[] => {
    if (sends.length === 0) return [];
    const raw = sends.map(({ seconds, value }): Point => ({ x: seconds, y: value }));
    return [{ name, colour: colourOf(data, name), points: downsample(smooth(raw, Math.min(25, Math.floor(raw.length / 60))), DRAWN) }];
  });
  const most = Math.max(2 * HIDDEN_PART, ...series.flatMap(({ points }) => points.map(({ y }) => y)));
  return lineChart('uplink', {
    title: 'Standing still for the uplink',
    note: `hidden behind compute up to ${percent(HIDDEN_PART)}`,
    x: timeAxis(data),
    y: { scale: niceScale(0, most, 5), label: 'Part of its time', format: (value) => `${Math.round(100 * value)} %` },
    levels: [{ y: HIDDEN_PART, label: 'hidden' }],
    series,
    formatValue: percent,
  });
}

function held(points: readonly CurvePoint[], untilSeconds: number): readonly Point[] {
  return points.flatMap(({ seconds, value }, i) => [
    { x: seconds, y: value },
    { x: points[i + 1]?.seconds ?? untilSeconds, y: value },
  ]);
}

/** A worker's as in the other charts; of pipelines one of their own. */
function colourOf({ workers, localSteps }: RunData, name: string): string {
  const place = workers.findIndex((worker) => worker.name === name);
  return workerColour(place >= 0 ? place : workers.length + localSteps.findIndex((steps) => steps.name === name));
}

function percent(fraction: number): string {
  return `${(100 * fraction).toFixed(1)} %`;
}
