import { html, type Markup } from '@longtail/core';
import { timeAxis } from './curves.js';
import { CHART, figure, xAxis, type Axis, type HoverColumns } from './line-chart.js';
import type { RunData, WorkerData, WorkSpan } from './run-data.js';
import { formatClock, linearScale, px } from './scale.js';
import { stepArea } from './throughput.js';

const WIDTH = 1060;
const LEFT = 132;
const LANE = 30;
const GAP = 10;
const TOP = 8;
const BINS = 220;
const MAX_LANES = 32;
/** Rounds that fit side by side and can still be told apart. */
const CLOSE_UP_ROUNDS = 12;

const LEGEND = [
  { name: 'computing', colour: 'var(--compute)' },
  { name: 'receiving and sending', colour: 'var(--transfer)' },
  { name: 'waiting for the round', colour: 'var(--wait)' },
  { name: 'not applied', colour: 'var(--rejected)' },
];
const VALIDATION = { name: 'validation', colour: 'var(--validating)' };

/** Each worker's time: over the whole run, and a few rounds close up. */
export function timelines(data: RunData): Markup {
  const workers = data.workers.slice(0, MAX_LANES);
  const closeUp = data.rounds > CLOSE_UP_ROUNDS;
  return html`${overview(data, workers)}${closeUp && closeUpOf(workers, busiestRounds(data))}`;
}

function overview(data: RunData, workers: readonly WorkerData[]): Markup {
  const axis = timeAxis(data);
  const toX = (seconds: number): number => LEFT + axis.scale.at(seconds) * (WIDTH - LEFT - CHART.right);
  const binX = (bin: number): number => toX((bin / BINS) * data.seconds);
  const fractions = workers.map((worker) => fractionsOf(worker, data.seconds * 1000));
  const lanes = workers.map((worker, i) => {
    const { compute, transfer, wait } = fractions[i];
    const toY = (fraction: number): number => laneTop(i) + LANE * (1 - Math.min(1, fraction));
    const none = new Float64Array(BINS);
    const busy = compute.map((value, bin) => value + transfer[bin]);
    const all = busy.map((value, bin) => value + wait[bin]);
    return html`${laneFrame(worker, i)} <path class="wait" d="${stepArea(busy, all, binX, toY)}" /><path
        class="transfer"
        d="${stepArea(compute, busy, binX, toY)}"
      /><path class="compute" d="${stepArea(none, compute, binX, toY)}" /> ${worker.spans
        .filter(({ accepted }) => !accepted)
        .slice(0, 200)
        .map(
          (span) =>
            html`<rect
              class="refused"
              x="${px(toX(span.sent / 1000) - 1)}"
              y="${laneTop(i)}"
              width="${px(Math.max(3, toX(span.done / 1000) - toX(span.sent / 1000)))}"
              height="${LANE}"
            />`,
        )}`;
  });
  const hover: HoverColumns = {
    x: Array.from({ length: BINS }, (_, bin) => Math.round(binX(bin + 0.5) * 10) / 10),
    title: Array.from({ length: BINS }, (_, bin) => formatClock(((bin + 0.5) / BINS) * data.seconds, data.seconds)),
    rows: workers
      .slice(0, 12)
      .map((worker, i) => ({
        name: worker.name,
        colour: 'var(--compute)',
        text: Array.from({ length: BINS }, (_, bin) => describeBin(fractions[i], bin)),
      })),
    top: TOP,
    bottom: laneTop(workers.length) - GAP,
  };
  const bottom = laneTop(workers.length) - GAP;
  const validations = data.validations.map(
    ({ from, to }) =>
      html`<rect
        class="validating"
        x="${px(toX(from / 1000))}"
        y="${TOP}"
        width="${px(Math.max(1, toX(to / 1000) - toX(from / 1000)))}"
        height="${bottom - TOP}"
      />`,
  );
  const hidden = data.workers.length - workers.length;
  return frame(
    'Timeline',
    `how each worker spent its time${hidden > 0 ? `; ${hidden} more workers are not shown` : ''}`,
    workers.length,
    axis,
    toX,
    html`${lanes}${validations}`,
    hover,
  );
}

function closeUpOf(workers: readonly WorkerData[], rounds: { from: number; to: number }): Markup {
  const inside = (span: WorkSpan): boolean => span.round >= rounds.from && span.round <= rounds.to;
  const spans = workers.map((worker) => worker.spans.filter(inside));
  const start = Math.min(...spans.flat().map(({ sent }) => sent));
  const end = Math.max(...spans.flat().map(({ roundEnd }) => roundEnd));
  const axis: Axis = {
    scale: linearScale(0, end - start, 8),
    label: `Milliseconds from the start of round ${rounds.from}`,
    format: (value) => String(Math.round(value)),
  };
  const toX = (ms: number): number => LEFT + axis.scale.at(ms - start) * (WIDTH - LEFT - CHART.right);
  const lanes = workers.map((worker, i) => html`${laneFrame(worker, i)}${spans[i].map((span) => spanBars(worker, span, laneTop(i), toX))}`);
  const fromStart = (ms: number): number => toX(ms + start);
  return frame(
    'Close-up',
    `rounds ${rounds.from} to ${rounds.to}, one bar a contribution`,
    workers.length,
    axis,
    fromStart,
    html`${lanes}`,
  );
}

function frame(
  title: string,
  note: string,
  lanes: number,
  axis: Axis,
  toX: (value: number) => number,
  body: Markup,
  hover?: HoverColumns,
): Markup {
  const base = laneTop(lanes) - GAP + 6;
  return html`<div class="wide">
    ${figure({ title, note, legend: hover ? [...LEGEND, VALIDATION] : LEGEND, width: WIDTH, height: base + 42, hover, body: html`${body}${xAxis(axis, toX, base, WIDTH, LEFT)}` })}
  </div>`;
}

function laneFrame({ name }: WorkerData, lane: number): Markup {
  const label = name.length > 18 ? `${name.slice(0, 17)}…` : name;
  return html`<text class="lane-name" x="${LEFT - 12}" y="${laneTop(lane) + LANE / 2 + 4}" text-anchor="end">${label}</text
    ><rect class="lane" x="${LEFT}" y="${laneTop(lane)}" width="${WIDTH - LEFT - CHART.right}" height="${LANE}" />`;
}

function spanBars(worker: WorkerData, span: WorkSpan, y: number, toX: (ms: number) => number): Markup {
  const bar = (kind: string, from: number, to: number): Markup =>
    html`<rect class="${kind}" x="${px(toX(from))}" y="${y}" width="${px(Math.max(0, toX(to) - toX(from)))}" height="${LANE}" />`;
  const ms = (value: number): string => `${Math.round(value)} ms`;
  const compute = span.computeTo - span.computeFrom;
  const tip = [
    `${worker.name} · round ${span.round} · ${span.samples} samples`,
    `computing ${ms(compute)}, transfer ${ms(span.done - span.sent - compute)}, waiting ${ms(span.roundEnd - span.done)}`,
    ...(span.accepted ? [] : [`not applied: ${span.reason}`]),
  ];
  return html`<g data-tip="${tip.join('\n')}"
    >${bar('transfer', span.sent, span.computeFrom)}${bar('compute', span.computeFrom, span.computeTo)}${bar('transfer', span.computeTo, span.done)}${bar('wait', span.done, span.roundEnd)}${!span.accepted && bar('refused', span.sent, span.done)}</g
  >`;
}

function laneTop(lane: number): number {
  return TOP + lane * (LANE + GAP);
}

interface Fractions {
  readonly compute: Float64Array;
  readonly transfer: Float64Array;
  readonly wait: Float64Array;
}

/** Which part of each bin a worker spent on what; the rest it had no task. */
function fractionsOf({ spans }: WorkerData, totalMs: number): Fractions {
  const fractions = { compute: new Float64Array(BINS), transfer: new Float64Array(BINS), wait: new Float64Array(BINS) };
  const add = (to: Float64Array, fromMs: number, toMs: number): void => {
    const [from, end] = [(fromMs / totalMs) * BINS, (toMs / totalMs) * BINS];
    for (let bin = Math.max(0, Math.floor(from)); bin < Math.min(BINS, end); bin++)
      to[bin] += Math.max(0, Math.min(end, bin + 1) - Math.max(from, bin));
  };
  for (const span of spans) {
    add(fractions.transfer, span.sent, span.computeFrom);
    add(fractions.compute, span.computeFrom, span.computeTo);
    add(fractions.transfer, span.computeTo, span.done);
    add(fractions.wait, span.done, span.roundEnd);
  }
  return fractions;
}

function describeBin({ compute, transfer, wait }: Fractions, bin: number): string {
  if (compute[bin] + transfer[bin] + wait[bin] < 0.005) return 'no task';
  const percent = (value: number): string => `${Math.round(100 * Math.min(1, value))} %`;
  return `computing ${percent(compute[bin])}, transfer ${percent(transfer[bin])}, waiting ${percent(wait[bin])}`;
}

/** A window of rounds from the middle of the run; around the first contribution that was not applied, if there is one after the start. */
function busiestRounds({ workers, rounds }: RunData): { from: number; to: number } {
  const refused = workers.flatMap(({ spans }) =>
    spans.filter(({ accepted, round }) => !accepted && round > CLOSE_UP_ROUNDS).map(({ round }) => round),
  );
  const centre = refused.length > 0 ? Math.min(...refused) : Math.floor(rounds / 2);
  const from = Math.max(1, Math.min(centre - CLOSE_UP_ROUNDS / 2, rounds - CLOSE_UP_ROUNDS + 1));
  return { from, to: from + CLOSE_UP_ROUNDS - 1 };
}
