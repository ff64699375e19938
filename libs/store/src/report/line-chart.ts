import { html, type Markup } from '@longtail/core';
import type { Point } from './downsample.js';
import { px, type Scale } from './scale.js';

export interface Series {
  readonly name: string;
  /** CSS colour, usually a variable of the theme. */
  readonly colour: string;
  readonly points: readonly Point[];
  /** The same before smoothing, drawn faintly behind. */
  readonly raw?: readonly Point[];
  /** Measured at single moments: a dot each. */
  readonly dots?: boolean;
}

export interface Axis {
  readonly scale: Scale;
  readonly label: string;
  format(value: number): string;
}

export interface LineChart {
  readonly title: string;
  readonly note?: string;
  readonly x: Axis;
  readonly y: Axis;
  readonly series: readonly Series[];
  /** Vertical lines, such as the ends of epochs. */
  readonly marks?: readonly { readonly x: number; readonly label: string }[];
  /** Horizontal lines, such as a bound. */
  readonly levels?: readonly { readonly y: number; readonly label: string }[];
  /** Values in the tooltip, with more digits than on the axis. */
  formatValue(value: number): string;
}

/** What the script of the page needs to answer a pointer: pixel columns with their texts. */
export interface HoverColumns {
  readonly x: readonly number[];
  readonly title: readonly string[];
  readonly rows: readonly {
    readonly name: string;
    readonly colour: string;
    readonly text: readonly string[];
    readonly y?: readonly (number | null)[];
  }[];
  readonly top: number;
  readonly bottom: number;
}

export const CHART = { width: 520, height: 290, left: 58, right: 14, top: 14, bottom: 44 } as const;

const PLOT_WIDTH = CHART.width - CHART.left - CHART.right;
const PLOT_HEIGHT = CHART.height - CHART.top - CHART.bottom;
const BASE = CHART.top + PLOT_HEIGHT;

/** A chart of curves over a common x, with axes, legend and values under the pointer. `id` is unique in the page. */
export function lineChart(id: string, chart: LineChart): Markup {
  const toX = (value: number): number => CHART.left + chart.x.scale.at(value) * PLOT_WIDTH;
  const toY = (value: number): number => BASE - chart.y.scale.at(value) * PLOT_HEIGHT;
  const path = (points: readonly Point[]): string =>
    points.map(({ x, y }, i) => `${i === 0 ? 'M' : 'L'}${px(toX(x))} ${px(toY(y))}`).join('');
  return figure({
    title: chart.title,
    note: chart.note,
    legend: chart.series,
    width: CHART.width,
    height: CHART.height,
    hover: hoverColumns(chart, toX, toY),
    body: html` <clipPath id="${id}"
        ><rect x="${CHART.left}" y="${CHART.top - 4}" width="${PLOT_WIDTH + CHART.right}" height="${PLOT_HEIGHT + 4}"
      /></clipPath>
      ${yAxis(chart.y, toY)}
      ${(chart.marks ?? []).map(({ x, label }) => html`<line class="mark" x1="${px(toX(x))}" x2="${px(toX(x))}" y1="${CHART.top}" y2="${BASE}" /><text class="mark-label" x="${px(toX(x) - 4)}" y="${CHART.top + 9}" text-anchor="end">${label}</text>`)}
      ${(chart.levels ?? []).map(({ y, label }) => html`<line class="mark" x1="${CHART.left}" x2="${CHART.width - CHART.right}" y1="${px(toY(y))}" y2="${px(toY(y))}" /><text class="mark-label" x="${CHART.left + 4}" y="${px(toY(y) - 4)}">${label}</text>`)}
      ${xAxis(chart.x, toX)}
      <g clip-path="url(#${id})">
        ${chart.series.map(({ raw, colour }) => raw && html`<path class="raw" style="stroke:${colour}" d="${path(raw)}" />`)}
        ${chart.series.map(({ points, colour }) => html`<path class="curve" style="stroke:${colour}" d="${path(points)}" />`)}
        ${chart.series.map(({ points, colour, dots }) => dots && points.map(({ x, y }) => html`<circle class="dot" style="fill:${colour}" cx="${px(toX(x))}" cy="${px(toY(y))}" r="3" />`))}
      </g>`,
  });
}

/** A titled picture with a legend, as every chart of the report is framed. */
export function figure(parts: {
  readonly title: string;
  readonly note?: string;
  readonly legend: readonly { readonly name: string; readonly colour: string }[];
  readonly width: number;
  readonly height: number;
  readonly hover?: HoverColumns;
  readonly body: Markup;
}): Markup {
  const { title, note, legend, width, height, hover, body } = parts;
  return html`<figure class="chart">
    <figcaption>
      <b>${title}</b>${note !== undefined && html`<span class="note">${note}</span>`}<span class="legend"
        >${legend.map(({ name, colour }) => html`<span><i style="background:${colour}"></i>${name}</span>`)}</span
      >
    </figcaption>
    <svg
      viewBox="0 0 ${width} ${height}"
      role="img"
      aria-label="${title}"
      ${hover !== undefined && html` data-hover="${JSON.stringify(hover)}"`}
    >
      ${body}
    </svg>
  </figure>`;
}

/** The x axis along the bottom of a chart that has the margins of `CHART`. */
export function xAxis(
  axis: Axis,
  toX: (value: number) => number,
  base: number = BASE,
  width: number = CHART.width,
  left: number = CHART.left,
): Markup {
  return html`<line class="axis" x1="${left}" x2="${width - CHART.right}" y1="${px(base)}" y2="${px(base)}" />
    ${axis.scale.ticks.map((tick) => html`<line class="axis" x1="${px(toX(tick))}" x2="${px(toX(tick))}" y1="${px(base)}" y2="${px(base + 4)}" /><text class="tick" x="${px(toX(tick))}" y="${px(base + 16)}" text-anchor="middle">${axis.format(tick)}</text>`)}
    <text class="label" x="${px((left + width - CHART.right) / 2)}" y="${px(base + 35)}" text-anchor="middle">${axis.label}</text>`;
}

/** Grid lines with their values, and the label along them. */
export function yAxis(axis: Axis, toY: (value: number) => number, width: number = CHART.width): Markup {
  const middle = CHART.top + PLOT_HEIGHT / 2;
  return html`${axis.scale.ticks.map((tick) => html`<line class="grid" x1="${CHART.left}" x2="${width - CHART.right}" y1="${px(toY(tick))}" y2="${px(toY(tick))}" /><text class="tick" x="${CHART.left - 7}" y="${px(toY(tick) + 3.5)}" text-anchor="end">${axis.format(tick)}</text>`)}
    <text class="label" transform="translate(13 ${px(middle)}) rotate(-90)" text-anchor="middle">${axis.label}</text>`;
}

function hoverColumns(chart: LineChart, toX: (value: number) => number, toY: (value: number) => number): HoverColumns {
  const columns = (chart.series[0]?.points ?? []).map(({ x }) => x);
  return {
    x: columns.map((x) => Math.round(toX(x) * 10) / 10),
    title: columns.map((x) => chart.x.format(x)),
    rows: chart.series.map(({ name, colour, points }) => {
      const found = columns.map((x) => lastAt(points, x));
      return {
        name,
        colour,
        text: found.map((point) => (point ? chart.formatValue(point.y) : '–')),
        y: found.map((point) => (point ? Math.round(toY(point.y) * 10) / 10 : null)),
      };
    }),
    top: CHART.top,
    bottom: BASE,
  };
}

/** The last point at or before `x`. */
function lastAt(points: readonly Point[], x: number): Point | undefined {
  let [low, high] = [0, points.length];
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (points[middle].x <= x) low = middle + 1;
    else high = middle;
  }
  return points[low - 1];
}
