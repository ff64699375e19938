/** Of one figure over several seeds. */
export interface Spread {
  readonly mean: number;
  readonly min: number;
  readonly max: number;
}

/** Undefined where there is nothing; what is not finite (null in JSON) counts as nothing. */
export function spread(values: readonly (number | null | undefined)[]): Spread | undefined {
  const known = values.filter(isNumber);
  if (known.length === 0) return undefined;
  const mean = known.reduce((sum, value) => sum + value, 0) / known.length;
  // Rounding must not put the mean of equal values beside them.
  const [min, max] = [Math.min(...known), Math.max(...known)];
  return { mean: Math.min(max, Math.max(min, mean)), min, max };
}

/** What JSON makes of NaN is null. */
export function isNumber(value: number | null | undefined): value is number {
  return typeof value === 'number' && Number.isFinite(value);
}
