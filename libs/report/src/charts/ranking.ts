import * as Plot from '@observablehq/plot';
import { figureOf, timeToTarget, type Arm } from '../arms.js';
import { linearAxis } from '../axis.js';
import { figure, type Figure } from '../figure.js';
import { armStyle, colour } from '../palette.js';
import { WIDTH } from '../plot.js';
import { inUnits, LOSS, RATE, TIME, shortNumber, type Quantity } from '../quantity.js';
import type { Spread } from '../spread.js';
import { textWidth } from '../text.js';
import { axisBelow, namesMargin, namesOnLeft, rowsFrame } from './axes.js';

/** Bars that a picture holds; the table and the CSV have them all. */
export const MOST_BARS = 30;

/** Time to the target loss, an arm a bar, the best on top; where nobody reached it the loss at the end. Without a target, or without losses: samples a second. */
export function rankingChart(arms: readonly Arm[], targetLoss: number | undefined): Figure | undefined {
  const ran = arms.filter(({ runs }) => runs.length > 0);
  if (ran.length === 0) return undefined;
  if (targetLoss !== undefined && ran.some(({ runs }) => timeToTarget(runs) !== undefined)) {
    const missed = ({ runs }: Arm): string => {
      const loss = figureOf(runs, ({ finalLoss }) => finalLoss);
      return `not reached${loss === undefined ? '' : `, ${shortNumber(loss.mean)} at the end`}`;
    };
    return bars(
      'time-to-loss',
      `Time to loss ${shortNumber(targetLoss)}`,
      TIME,
      ran.map((arm) => ({ arm, value: timeToTarget(arm.runs), missing: missed(arm) })),
    );
  }
  const losses = ran.map((arm) => ({ arm, value: figureOf(arm.runs, ({ finalLoss }) => finalLoss), missing: 'none' }));
  if (targetLoss !== undefined && losses.some(({ value }) => value !== undefined)) return bars('final-loss', `Loss at the end: nobody reached ${shortNumber(targetLoss)}`, LOSS, losses);
  const value = ({ runs }: Arm): Spread | undefined => figureOf(runs, ({ samplesPerSecond }) => samplesPerSecond);
  return bars(
    'throughput',
    'Samples a second',
    RATE,
    ran.map((arm) => ({ arm, value: value(arm), missing: 'none' })),
  );
}

interface Bar {
  readonly arm: Arm;
  readonly value: Spread | undefined;
  /** In place of a value. */
  readonly missing: string;
}

function bars(name: string, title: string, quantity: Quantity, all: readonly Bar[]): Figure {
  const rows = all.slice(0, MOST_BARS);
  const names = rows.map(({ arm }) => arm.name);
  const texts = rows.map(({ value, missing }) => (value === undefined ? missing : inUnits(quantity)(value.mean)));
  const marginLeft = namesMargin(names);
  const high = Math.max(...rows.map(({ value }) => value?.max ?? 0), 0) || 1;
  const axis = linearAxis(quantity, 0, high);
  // Room for the longest text behind the longest bar.
  const marginRight = Math.max(...rows.map(({ value }, i) => (textWidth(texts[i]) + 16) * ((value?.max ?? 0) / high)), 16);
  const drawn = rows.flatMap(({ arm, value }, y) => (value === undefined ? [] : [{ ...value, y, fill: armStyle(arm.index).colour }]));
  const spread = drawn.some(({ min, max }) => max > min);
  const height = rows.length * 24 + 56;
  const notes = [
    spread ? 'Mean of the seeds; whiskers from the least to the greatest.' : '',
    all.length > rows.length ? `The best ${rows.length} of ${all.length} arms.` : '',
  ];
  return figure({
    name,
    title,
    note: notes.filter((text) => text !== '').join(' '),
    height,
    plot: {
      ...rowsFrame(axis, rows.length, { marginLeft, marginRight, marginTop: 6, padding: 0.28 }),
      marks: [
        ...axisBelow(axis, [marginLeft, WIDTH - marginRight]),
        Plot.barX(drawn, { x1: 0, x2: 'mean', y: 'y', fill: 'fill' }),
        ...(spread ? whiskers(drawn) : []),
        namesOnLeft(names),
        Plot.text(rows, {
          x: ({ value }: Bar) => value?.max ?? 0,
          y: (_: Bar, i: number) => i,
          text: (_: Bar, i: number) => texts[i],
          textAnchor: 'start',
          dx: 8,
          fill: colour('text'),
        }),
        Plot.ruleX([0], { stroke: colour('muted') }),
      ],
    },
  });
}

function whiskers(drawn: readonly (Spread & { readonly y: number })[]): Plot.Markish[] {
  const pen = { stroke: colour('text'), strokeWidth: 1.2 };
  return [
    Plot.link(drawn, { x1: 'min', x2: 'max', y: 'y', ...pen }),
    ...['min', 'max'].map((x) => Plot.tickX(drawn, { x, y: 'y', ...pen, inset: 4 })),
  ];
}
