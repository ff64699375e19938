import type { BenchLossPoint } from '@longtail/core';

/** Of the training losses before a point, this part of all is averaged with it: each is of a few samples. */
const AVERAGED = 0.05;

/**
 * When the validation loss is first this low, between two of its points; where it was measured only once (live, at the end), the training
 * loss of the latest rounds. Undefined: never.
 */
export function timeToLoss(curve: readonly BenchLossPoint[], target: number): number | undefined {
  const validation = curve.filter(({ kind }) => kind === 'validation');
  const points = validation.length > 1 ? validation : smoothed(curve.filter(({ kind }) => kind === 'training'));
  const at = points.findIndex(({ loss }) => loss <= target);
  if (at < 0) return undefined;
  const [before, after] = [points[at - 1], points[at]!];
  if (before === undefined) return after.timeMs;
  return before.timeMs + ((before.loss - target) / (before.loss - after.loss)) * (after.timeMs - before.timeMs);
}

function smoothed(points: readonly BenchLossPoint[]): readonly BenchLossPoint[] {
  const size = Math.ceil(AVERAGED * points.length);
  return points.slice(size - 1).map((point, i) => ({ ...point, loss: points.slice(i, i + size).reduce((sum, { loss }) => sum + loss, 0) / size }));
}
