import * as Plot from '@observablehq/plot';
import type { Arm } from '../arms.js';
import { lossAxis, quantityAxis, toPixels, type Axis } from '../axis.js';
import { lossCurve, shownKind, type CurvePoint } from '../curve.js';
import { figure, type Figure } from '../figure.js';
import { curveLegend } from '../legend.js';
import { armStyle, colour, OTHERS } from '../palette.js';
import { WIDTH } from '../plot.js';
import { BYTES, TIME, shortNumber } from '../quantity.js';
import { spread } from '../spread.js';
import { textWidth } from '../text.js';
import { gridAxes } from './axes.js';
import { placeLabels } from './place-labels.js';

/** Arms that have a colour of their own; the others are in grey behind them. */
const SHOWN = 12;
/** Of a text's width, that it takes in bold. */
const BOLD = 1.15;
/** Markers along a curve. */
const MARKERS = 6;

const HEIGHT = 330;
const MARGIN = { marginLeft: 58, marginRight: 16, marginTop: 12, marginBottom: 44 };
const ACROSS = [MARGIN.marginLeft, WIDTH - MARGIN.marginRight] as const;
const UP = [HEIGHT - MARGIN.marginBottom, MARGIN.marginTop] as const;

/** Loss against time or against bytes, all arms; undefined where no arm computed one. */
export function lossChart(arms: readonly Arm[], against: 'time' | 'bytes', targetLoss: number | undefined): Figure | undefined {
  const kind = shownKind(arms.flatMap(({ runs }) => runs));
  const curves = arms
    .map(({ name, index, runs }) => ({
      name,
      style: armStyle(index),
      points: lossCurve(runs, kind, against === 'time' ? 'timeMs' : 'bytes'),
      seeds: runs.length,
    }))
    .filter(({ points }) => points.length > 0);
  if (curves.length === 0) return undefined;
  const [shown, others] = [curves.slice(0, SHOWN), curves.slice(SHOWN)];
  const all = curves.flatMap(({ points }) => points);
  const ends = curves.map(({ points }) => points[points.length - 1].x).filter((x) => x > 0);
  const starts = all.map(({ x }) => x).filter((x) => x > 0);
  const x = quantityAxis(against === 'time' ? TIME : BYTES, ends.length > 0 ? ends : [1], spread(starts)?.min ?? 0);
  const y = lossAxis(
    [...all.flatMap(({ min, max }) => [min, max]), ...(targetLoss === undefined ? [] : [targetLoss])],
    `${kind === 'training' ? 'Training' : 'Validation'} loss`,
  );
  const visible = ({ points }: { points: readonly CurvePoint[] }): CurvePoint[] =>
    points.filter((point) => x.type === 'linear' || point.x > 0);
  const at = { x: 'x', y: 'mean' };
  const band = shown.some(({ seeds }) => seeds > 1) ? 'Band: least to greatest of the seeds, line: their mean.' : '';
  return figure({
    name: `loss-${against}`,
    title: `Loss against ${against === 'time' ? 'time' : 'bytes moved'}`,
    note: band,
    legend: curveLegend([...shown, ...(others.length > 0 ? [{ name: `${others.length} others`, style: OTHERS }] : [])]),
    height: HEIGHT,
    plot: {
      ...MARGIN,
      x: { type: x.type, domain: x.domain },
      y: { type: y.type, domain: y.domain },
      marks: [
        ...gridAxes(x, y, ACROSS, UP),
        ...(targetLoss === undefined
          ? []
          : [Plot.ruleY([targetLoss], { stroke: colour('text'), strokeDasharray: '1 3', strokeWidth: 1.2 })]),
        ...others.map((curve) => Plot.line(visible(curve), { ...at, stroke: OTHERS.colour, strokeWidth: 1, strokeOpacity: 0.6 })),
        ...shown
          .filter(({ seeds }) => seeds > 1)
          .map((curve) => Plot.areaY(visible(curve), { x: 'x', y1: 'min', y2: 'max', fill: curve.style.colour, fillOpacity: 0.14 })),
        // The best arm is drawn last, above the others.
        ...shown.toReversed().flatMap(({ style, ...curve }) => [
          Plot.line(visible(curve), {
            ...at,
            stroke: style.colour,
            strokeWidth: 1.8,
            strokeDasharray: style.dash,
            strokeLinejoin: 'round',
          }),
          Plot.dot(markers(visible(curve), x), {
            ...at,
            symbol: style.symbol,
            fill: style.colour,
            stroke: colour('card'),
            strokeWidth: 0.8,
            r: 3.5,
          }),
        ]),
        ...(targetLoss === undefined ? [] : [targetName(targetLoss)]),
        ...labels(
          shown.map((curve) => ({ ...curve, points: visible(curve) })),
          x,
          y,
          targetLoss,
        ),
      ],
    },
  });
}

function targetName(targetLoss: number): Plot.Markish {
  const halo = { stroke: colour('card'), strokeWidth: 3, fill: colour('muted') };
  const at = { y: targetLoss, frameAnchor: 'right', dx: -4, dy: -7, textAnchor: 'end' } as const;
  return Plot.text([`target ${shortNumber(targetLoss)}`], { ...at, ...halo, text: (text: string) => text });
}

/** A few points evenly apart as the eye sees them. */
function markers(points: readonly CurvePoint[], x: Axis): CurvePoint[] {
  const gap = (ACROSS[1] - ACROSS[0]) / MARKERS;
  let next = -Infinity;
  return points.filter((point, i) => {
    const at = toPixels(x, ACROSS, point.x);
    if (at < next && i < points.length - 1) return false;
    next = at + gap;
    return true;
  });
}

/** The arms' names beside the ends of their curves, where there is room. */
function labels(
  curves: readonly { name: string; style: { colour: string }; points: readonly CurvePoint[] }[],
  x: Axis,
  y: Axis,
  targetLoss: number | undefined,
): Plot.Markish[] {
  const drawn = curves.map(({ points }) => points.map((point) => ({ x: toPixels(x, ACROSS, point.x), y: toPixels(y, UP, point.mean) })));
  const rule = targetLoss === undefined ? [] : ACROSS.map((at) => ({ x: at, y: toPixels(y, UP, targetLoss) }));
  return placeLabels(
    curves.map(({ name }) => BOLD * textWidth(name)),
    drawn,
    [...drawn, rule],
    { left: ACROSS[0] + 2, right: ACROSS[1], top: UP[1], bottom: UP[0] - 4 },
  ).flatMap((place, i) => {
    if (place === undefined) return [];
    const { name, style, points } = curves[i];
    const halo = { stroke: colour('card'), strokeWidth: 3, fill: style.colour };
    return [
      Plot.text([points[points.length - 1]], {
        x: 'x',
        y: 'mean',
        text: () => name,
        textAnchor: 'start',
        fontWeight: 600,
        dx: place.dx,
        dy: place.dy,
        ...halo,
      }),
    ];
  });
}
