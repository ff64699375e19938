import * as Plot from '@observablehq/plot';
import { Markup } from '@longtail/core';
import { colour, type ArmStyle } from './palette.js';
import { drawPlot, WIDTH } from './plot.js';
import { fitNames, textWidth } from './text.js';

/** Marks in pixels from the left end of the picture and the top of the legend. */
export interface Legend {
  readonly height: number;
  readonly marks: readonly Plot.Markish[];
}

const ROW = 18;
/** Beside the text of a curve and of a patch: the key, and the gap to the next column. */
const BESIDE = { curve: 52, patch: 34 };

/** Curves with their dash and marker; the last may be a plain line. The best arms stand under each other. */
export function curveLegend(entries: readonly { readonly name: string; readonly style: ArmStyle }[]): Legend {
  return columns(entries, BESIDE.curve, ({ style }, x, y) => [
    Plot.line([x, x + 30], { x: (at: number) => at, y, stroke: style.colour, strokeWidth: 2, strokeDasharray: style.dash }),
    ...(style.symbol === undefined
      ? []
      : [Plot.dot([x + 15], { x: (at: number) => at, y, symbol: style.symbol, fill: style.colour, r: 3.5 })]),
  ]);
}

export function patchLegend(entries: readonly { readonly name: string; readonly fill: string }[]): Legend {
  return columns(entries, BESIDE.patch, ({ fill }, x, y) => [
    Plot.rect([0], { x1: x, x2: x + 12, y1: y - 6, y2: y + 6, fill, stroke: colour('muted'), strokeWidth: 0.5 }),
  ]);
}

/** Colours of one scale side by side between the names of its ends. */
export function rampLegend(from: string, to: string, fills: readonly string[]): Legend {
  const [width, left, y] = [22, textWidth(from) + 10, ROW / 2];
  const right = left + fills.length * width;
  return {
    height: ROW,
    marks: [
      ...fills.map((fill, i) => Plot.rect([0], { x1: left + i * width, x2: left + (i + 1) * width, y1: y - 6, y2: y + 6, fill })),
      Plot.rect([0], { x1: left, x2: right, y1: y - 6, y2: y + 6, stroke: colour('muted'), strokeWidth: 0.5 }),
      word(from, 0, y),
      word(to, right + 8, y),
    ],
  };
}

export function drawLegend({ height, marks }: Legend): Markup {
  return new Markup(drawPlot({ height, margin: 0, axis: null, x: { type: 'identity' }, y: { type: 'identity' }, marks: [...marks] }));
}

function columns<T extends { readonly name: string }>(
  entries: readonly T[],
  beside: number,
  key: (entry: T, x: number, y: number) => Plot.Markish[],
): Legend {
  const widest = Math.min(WIDTH, Math.max(...entries.map(({ name }) => textWidth(name) + beside)));
  const rows = Math.ceil(entries.length / Math.floor(WIDTH / widest));
  const names = fitNames(
    entries.map(({ name }) => name),
    widest - beside,
  );
  const marks = entries.flatMap((entry, i) => {
    const [x, y] = [Math.floor(i / rows) * widest, (i % rows) * ROW + ROW / 2];
    return [...key(entry, x, y), word(names[i], x + beside - 16, y)];
  });
  return { height: rows * ROW, marks };
}

function word(text: string, x: number, y: number): Plot.Markish {
  return Plot.text([text], { x, y, text: (text: string) => text, textAnchor: 'start' });
}
