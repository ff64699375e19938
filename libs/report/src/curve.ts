import type { BenchLossPoint } from '@longtail/core';
import type { Run } from './arms.js';
import { isNumber, spread, type Spread } from './spread.js';

/** The mean of the seeds at one place, and how far they lie apart. */
export interface CurvePoint extends Spread {
  readonly x: number;
}

interface Point {
  readonly x: number;
  readonly y: number;
}

export type LossKind = BenchLossPoint['kind'];

/** Points that a drawn curve keeps. */
const DRAWN = 240;

/** Validation loss, unless some run has too little of it to make a curve. */
export function shownKind(runs: readonly Run[]): LossKind {
  const enough = runs.every(({ outcome }) => outcome.loss.filter(({ kind }) => kind === 'validation').length > 1);
  return enough ? 'validation' : 'training';
}

/** Loss over time or bytes: one seed as it was, of several the mean, min and max as far as all of them go. */
export function lossCurve(runs: readonly Run[], kind: LossKind, axis: 'timeMs' | 'bytes'): readonly CurvePoint[] {
  const seeds = runs.map(({ outcome }) =>
    thin(outcome.loss.flatMap((point) => (point.kind === kind && isNumber(point.loss) ? [{ x: point[axis], y: point.loss }] : []))),
  );
  const [first, ...others] = seeds.filter(({ length }) => length > 0);
  if (first === undefined) return [];
  const alone = first.map(({ x, y }) => ({ x, mean: y, min: y, max: y }));
  if (others.length === 0) return alone;
  const all = [first, ...others];
  const from = Math.max(...all.map(([{ x }]) => x));
  const to = Math.min(...all.map((points) => points[points.length - 1].x));
  const places = [...new Set(all.flat().map(({ x }) => x))].filter((x) => x >= from && x <= to).sort((a, b) => a - b);
  if (places.length < 2) return alone;
  return places.flatMap((x) => {
    const here = spread(all.map((points) => at(points, x)));
    return here === undefined ? [] : [{ x, ...here }];
  });
}

/** Neighbours averaged, so that a long run gives a curve of the same size; the last point stays. */
function thin(points: readonly Point[]): readonly Point[] {
  if (points.length <= DRAWN) return points;
  const size = Math.ceil(points.length / DRAWN);
  const means: Point[] = [];
  for (let i = 0; i < points.length; i += size) {
    const some = points.slice(i, i + size);
    const mean = (of: 'x' | 'y'): number => some.reduce((sum, point) => sum + point[of], 0) / some.length;
    means.push({ x: mean('x'), y: mean('y') });
  }
  return [...means, points[points.length - 1]];
}

/** Between two points on the line that joins them. */
function at(points: readonly Point[], x: number): number {
  const next = points.findIndex((point) => point.x >= x);
  const [a, b] = [points[Math.max(0, next - 1)], points[next]];
  return b.x === a.x ? b.y : a.y + ((b.y - a.y) * (x - a.x)) / (b.x - a.x);
}
