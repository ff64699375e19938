import type { BenchLossPoint } from '@longtail/core';

/** When the validation loss is first this low, between two of its points; undefined: never. */
export function timeToLoss(curve: readonly BenchLossPoint[], target: number): number | undefined {
  const points = curve.filter(({ kind }) => kind === 'validation');
  const at = points.findIndex(({ loss }) => loss <= target);
  if (at < 0) return undefined;
  const [before, after] = [points[at - 1], points[at]!];
  if (before === undefined) return after.timeMs;
  return before.timeMs + ((before.loss - target) / (before.loss - after.loss)) * (after.timeMs - before.timeMs);
}
