import { formatCount, html, type Markup } from '@longtail/core';
import { timeAxis } from './curves.js';
import { CHART, figure, xAxis, yAxis, type Axis, type HoverColumns } from './line-chart.js';
import type { RunData, WorkerData } from './run-data.js';
import { formatAxisCount, formatClock, niceScale, px } from './scale.js';
import { OTHERS_COLOUR, workerColour } from './theme.js';

const WIDTH = 1060;
const BINS = 150;
/** Workers with a band of their own; the rest share one. */
const MAX_BANDS = 8;

interface Band {
  readonly name: string;
  readonly colour: string;
  /** Samples a second in each bin. */
  readonly rates: Float64Array;
}

/** Samples a second that reached the model, stacked by worker. */
export function throughputChart(data: RunData): Markup {
  const bands = bandsOf(data);
  const heights = new Float64Array(BINS);
  for (const { rates } of bands) rates.forEach((rate, bin) => (heights[bin] += rate));
  const x = timeAxis(data);
  const y: Axis = { scale: niceScale(0, Math.max(1, ...heights), 5), label: 'Samples a second', format: formatAxisCount };
  const toX = (seconds: number): number => CHART.left + x.scale.at(seconds) * (WIDTH - CHART.left - CHART.right);
  const base = CHART.height - CHART.bottom;
  const toY = (rate: number): number => base - y.scale.at(rate) * (base - CHART.top);

  const lower = new Float64Array(BINS);
  const areas = bands.map(({ rates, colour }) => {
    const bottom = Float64Array.from(lower);
    rates.forEach((rate, bin) => (lower[bin] += rate));
    return html`<path
      class="area"
      style="fill:${colour}"
      d="${stepArea(bottom, lower, (bin) => toX((bin / BINS) * data.seconds), toY)}"
    />`;
  });
  const hover: HoverColumns = {
    x: Array.from({ length: BINS }, (_, bin) => Math.round(toX(((bin + 0.5) / BINS) * data.seconds) * 10) / 10),
    title: Array.from(
      { length: BINS },
      (_, bin) => `${formatClock(((bin + 0.5) / BINS) * data.seconds, data.seconds)} · ${formatCount(heights[bin])} samples/s`,
    ),
    rows: bands.map(({ name, colour, rates }) => ({ name, colour, text: Array.from(rates, (rate) => `${formatCount(rate)}/s`) })).reverse(),
    top: CHART.top,
    bottom: base,
  };
  return figure({
    title: 'Throughput',
    note: 'samples applied a second, by worker; the stages of a pipeline share theirs',
    legend: bands,
    width: WIDTH,
    height: CHART.height,
    hover,
    body: html`${yAxis(y, toY, WIDTH)}${areas}${xAxis(x, toX, base, WIDTH)}`,
  });
}

/** The outline of an area in steps: one value from `x(bin)` to `x(bin + 1)`. */
export function stepArea(
  bottom: ArrayLike<number>,
  top: ArrayLike<number>,
  x: (bin: number) => number,
  y: (value: number) => number,
): string {
  let there = '';
  let back = '';
  for (let bin = 0; bin < top.length; bin++) {
    there += `${bin === 0 ? 'M' : 'L'}${px(x(bin))} ${px(y(top[bin]))}H${px(x(bin + 1))}`;
    back = `L${px(x(bin + 1))} ${px(y(bottom[bin]))}H${px(x(bin))}${back}`;
  }
  return `${there}${back}Z`;
}

function bandsOf({ workers, seconds }: RunData): Band[] {
  const bands = workers
    .slice(0, MAX_BANDS)
    .map((worker, i): Band => ({ name: worker.name, colour: workerColour(i), rates: ratesOf([worker], seconds) }));
  const others = workers.slice(MAX_BANDS);
  if (others.length > 0) bands.push({ name: `${others.length} others`, colour: OTHERS_COLOUR, rates: ratesOf(others, seconds) });
  return bands;
}

/** A contribution counts evenly over the round it was worked on, so that a bin shorter than a round is not empty. */
function ratesOf(workers: readonly WorkerData[], seconds: number): Float64Array {
  const rates = new Float64Array(BINS);
  const binSeconds = Math.max(seconds, 1e-3) / BINS;
  for (const { spans } of workers) {
    for (const { sent, roundEnd, part, accepted } of spans) {
      if (!accepted) continue;
      const [from, to] = [sent / 1000 / binSeconds, Math.max(roundEnd / 1000 / binSeconds, sent / 1000 / binSeconds + 1e-6)];
      for (let bin = Math.max(0, Math.floor(from)); bin < Math.min(BINS, to); bin++) {
        const overlap = Math.min(to, bin + 1) - Math.max(from, bin);
        if (overlap > 0) rates[bin] += (part * overlap) / (to - from) / binSeconds;
      }
    }
  }
  return rates;
}
