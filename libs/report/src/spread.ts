/** Of one figure over several seeds. */
export interface Spread {
  readonly mean: number;
  readonly min: number;
  readonly max: number;
}

/** Undefined where there is nothing; what is not finite (null in JSON) counts as nothing. */
export function spread(values: readonly (number | null | undefined)[]): Spread | undefined {
  let [count, sum, min, max] = [0, 0, Infinity, -Infinity];
  for (const value of values) {
    if (!isNumber(value)) continue;
    count++;
    sum += value;
    min = Math.min(min, value);
    max = Math.max(max, value);
  }
  if (count === 0) return undefined;
  // Rounding must not put the mean of equal values beside them.
  return { mean: Math.min(max, Math.max(min, sum / count)), min, max };
}

/** What JSON makes of NaN is null. */
export function isNumber(value: number | null | undefined): value is number {
  return typeof value === 'number' && Number.isFinite(value);
}
