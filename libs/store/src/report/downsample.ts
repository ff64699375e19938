export interface Point {
  readonly x: number;
  readonly y: number;
}

/**
 * Largest-triangle-three-buckets (Steinarsson 2013): the `count` points that keep the look of a curve, its first and
 * last among them. `x` must not fall.
 */
export function downsample(points: readonly Point[], count: number): readonly Point[] {
  if (points.length <= count || count < 3) return points;
  const kept = [points[0]];
  const bucket = (points.length - 2) / (count - 2);
  let previous = 0;
  for (let i = 0; i < count - 2; i++) {
    const start = Math.floor(i * bucket) + 1;
    const end = Math.floor((i + 1) * bucket) + 1;
    const nextEnd = Math.min(Math.floor((i + 2) * bucket) + 1, points.length);
    const ahead = meanPoint(points, end, Math.max(nextEnd, end + 1));
    let best = start;
    let bestArea = -1;
    for (let j = start; j < end; j++) {
      const area = Math.abs(
        (points[previous].x - ahead.x) * (points[j].y - points[previous].y) -
          (points[previous].x - points[j].x) * (ahead.y - points[previous].y),
      );
      if (area > bestArea) [best, bestArea] = [j, area];
    }
    kept.push(points[best]);
    previous = best;
  }
  kept.push(points[points.length - 1]);
  return kept;
}

/**
 * Mean over up to `reach` points on each side: centred, so that a curve that falls does not lag, with fewer on both sides
 * at the steep start and fewer only ahead at the end, where one odd last batch must not have the last word.
 */
export function smooth(points: readonly Point[], reach: number): readonly Point[] {
  const sums = new Float64Array(points.length + 1);
  points.forEach(({ y }, i) => (sums[i + 1] = sums[i] + y));
  return points.map(({ x }, i) => {
    const before = Math.min(reach, i);
    const ahead = Math.min(before, points.length - 1 - i);
    return { x, y: (sums[i + ahead + 1] - sums[i - before]) / (before + ahead + 1) };
  });
}

function meanPoint(points: readonly Point[], start: number, end: number): Point {
  let x = 0;
  let y = 0;
  for (let i = start; i < end; i++) {
    x += points[i].x;
    y += points[i].y;
  }
  return { x: x / (end - start), y: y / (end - start) };
}
