import * as Plot from '@observablehq/plot';
import type { BenchResult } from '@longtail/core';
import { figureOf, timeToTarget, type Arm } from '../arms.js';
import { quantityAxis, type Axis } from '../axis.js';
import { figure, type Figure } from '../figure.js';
import { curveLegend } from '../legend.js';
import { armStyle, colour } from '../palette.js';
import { WIDTH } from '../plot.js';
import { RATE, TIME, shortNumber } from '../quantity.js';
import type { Spread } from '../spread.js';
import { gridAxes } from './axes.js';

const SHOWN = 12;
const HEIGHT = 330;
const MARGIN = { marginLeft: 72, marginRight: 20, marginTop: 12, marginBottom: 44 };

/** How each arm does over the values of the knob that was swept; undefined without a sweep. */
export function sensitivityChart(arms: readonly Arm[], { sweep, targetLoss }: BenchResult): Figure | undefined {
  if (sweep === undefined) return undefined;
  const at = (arm: Arm, knob: string): Arm['runs'] => arm.everywhere.filter((run) => run.knob === knob);
  const toTarget =
    targetLoss !== undefined &&
    arms.some((arm) => sweep.values.some((knob) => at(arm, knob).length > 0 && timeToTarget(at(arm, knob)) !== undefined));
  const measure = (runs: Arm['runs']): Spread | undefined =>
    toTarget ? timeToTarget(runs) : figureOf(runs, ({ samplesPerSecond }) => samplesPerSecond);
  const x = knobAxis(sweep.knob, sweep.values);
  const curves = arms.slice(0, SHOWN).map((arm) => ({
    name: arm.name,
    style: armStyle(arm.index),
    // A value without a figure is a gap, not a line across it.
    points: sweep.values
      .map((knob, i) => ({ x: x.places[i], mean: NaN, min: NaN, max: NaN, ...measure(at(arm, knob)) }))
      .sort((a, b) => a.x - b.x),
  }));
  const known = curves.flatMap(({ points }) => points.filter(({ mean }) => Number.isFinite(mean)));
  if (known.length === 0) return undefined;
  const y = quantityAxis(
    toTarget ? TIME : RATE,
    known.map(({ max }) => max),
    Math.min(...known.map(({ min }) => min)),
  );
  const gaps = curves.some(({ points }) => points.some(({ mean }) => Number.isNaN(mean)));
  const band = known.some(({ min, max }) => max > min);
  return figure({
    name: 'sensitivity',
    title: `${toTarget ? `Time to loss ${shortNumber(targetLoss)}` : 'Samples a second'} against ${sweep.knob}`,
    note: [
      toTarget && gaps ? 'Where a curve is missing the target was not reached.' : '',
      band ? 'Band: least to greatest of the seeds.' : '',
      arms.length > SHOWN ? `The best ${SHOWN} of ${arms.length} arms.` : '',
    ]
      .filter((text) => text !== '')
      .join(' '),
    legend: curveLegend(curves),
    height: HEIGHT,
    plot: {
      ...MARGIN,
      x: { type: x.axis.type, domain: x.axis.domain },
      y: { type: y.type, domain: y.domain },
      marks: [
        ...gridAxes(x.axis, y, [MARGIN.marginLeft, WIDTH - MARGIN.marginRight], [HEIGHT - MARGIN.marginBottom, MARGIN.marginTop]),
        ...(band
          ? curves.map(({ style, points }) => Plot.areaY(points, { x: 'x', y1: 'min', y2: 'max', fill: style.colour, fillOpacity: 0.14 }))
          : []),
        ...curves.toReversed().flatMap(({ style, points }) => [
          Plot.line(points, { x: 'x', y: 'mean', stroke: style.colour, strokeWidth: 1.8, strokeDasharray: style.dash }),
          Plot.dot(points, {
            x: 'x',
            y: 'mean',
            symbol: style.symbol,
            fill: style.colour,
            stroke: colour('card'),
            strokeWidth: 0.8,
            r: 4,
          }),
        ]),
      ],
    },
  });
}

/** Numbers of one unit where they are; other values side by side in their order. */
function knobAxis(knob: string, values: readonly string[]): { places: readonly number[]; axis: Axis } {
  const parsed = values.map((value) => /^(-?[\d.]+(?:e-?\d+)?)\s*([a-zA-Z%/]*)$/.exec(value));
  const numbers = parsed.map((match) => Number(match?.[1] ?? NaN));
  const unit = parsed[0]?.[2] ?? '';
  if (
    values.length > 1 &&
    numbers.every(Number.isFinite) &&
    parsed.every((match) => match?.[2] === unit) &&
    new Set(numbers).size === numbers.length
  ) {
    const [low, high] = [Math.min(...numbers), Math.max(...numbers)];
    const type = low > 0 && high / low > 4 ? 'log' : 'linear';
    return {
      places: numbers,
      axis: {
        type,
        domain: [low, high],
        label: unit === '' ? knob : `${knob} (${unit})`,
        ticks: numbers.toSorted((a, b) => a - b),
        format: String,
      },
    };
  }
  const places = values.map((_, i) => i);
  return {
    places,
    axis: { type: 'linear', domain: [-0.3, values.length - 0.7], label: knob, ticks: places, format: (place) => values[place] },
  };
}
