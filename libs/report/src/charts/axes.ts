import * as Plot from '@observablehq/plot';
import { toPixels, type Axis } from '../axis.js';
import { colour } from '../palette.js';
import { FONT_SIZE } from '../plot.js';
import { fitNames, textWidth } from '../text.js';

const TITLE = { labelAnchor: 'center', labelArrow: 'none' } as const;
const TICKS = { tickSize: 4, color: colour('muted') } as const;

/** Grid, ticks and titles of an axis below, between the pixels `across`. */
export function axisBelow(axis: Axis, across: readonly [number, number]): Plot.Markish[] {
  const ticks = apart(axis, across, (tick) => textWidth(axis.format(tick)) + 8);
  return [
    Plot.gridX(ticks, { stroke: colour('grid'), strokeOpacity: 1 }),
    Plot.axisX(ticks, { ...TITLE, ...TICKS, text: axis.format, label: axis.label, labelOffset: 38 }),
  ];
}

/** The same with an axis on the left, between the pixels `up` from the bottom to the top. */
export function gridAxes(x: Axis, y: Axis, across: readonly [number, number], up: readonly [number, number]): Plot.Markish[] {
  const ticks = apart(y, up, () => FONT_SIZE + 4);
  return [
    ...axisBelow(x, across),
    Plot.gridY(ticks, { stroke: colour('grid'), strokeOpacity: 1 }),
    Plot.axisY(ticks, { ...TITLE, ...TICKS, text: y.format, label: y.label, labelOffset: across[0] - 6 }),
    Plot.ruleY([y.domain[0]], { stroke: colour('muted') }),
  ];
}

/** Most of a picture that names on the left may take. */
const NAMES = 190;

/** Pixels on the left that the names of rows need. */
export function namesMargin(names: readonly string[]): number {
  return Math.min(NAMES, Math.max(...names.map(textWidth), 0)) + 14;
}

/** The names of rows, which are keyed by their place. */
export function namesOnLeft(names: readonly string[]): Plot.Markish {
  const fitted = fitNames(names, NAMES);
  return Plot.axisY(
    names.map((_, i) => i),
    { tickSize: 0, label: null, fontSize: FONT_SIZE, text: (i: number) => fitted[i] },
  );
}

/** A picture of rows one below the other, each a band with its place as key, over an axis below. `padding`: part of a row that stays free. */
export function rowsFrame(
  { domain }: Axis,
  rows: number,
  {
    padding,
    ...margins
  }: { readonly marginLeft: number; readonly marginRight: number; readonly marginTop: number; readonly padding: number },
): Plot.PlotOptions {
  const places = Array.from({ length: rows }, (_, i) => i);
  return { ...margins, marginBottom: 44, x: { domain }, y: { type: 'band', domain: places, round: false, padding } };
}

const ROUND = [/^1e/, /^[25]e/, /^/];

/** Ticks whose texts, of `size` pixels along the axis, do not touch: the roundest numbers come first. */
function apart(axis: Axis, pixels: readonly [number, number], size: (tick: number) => number): readonly number[] {
  const rank = (tick: number): number => (axis.type === 'linear' ? 0 : ROUND.findIndex((leads) => leads.test(tick.toExponential())));
  const taken: { tick: number; from: number; to: number }[] = [];
  for (const tick of axis.ticks.toSorted((a, b) => rank(a) - rank(b))) {
    const [at, half] = [toPixels(axis, pixels, tick), size(tick) / 2];
    const place = { tick, from: at - half, to: at + half };
    if (taken.every(({ from, to }) => place.to <= from || place.from >= to)) taken.push(place);
  }
  return taken.map(({ tick }) => tick).sort((a, b) => a - b);
}
