/** What work on so many samples took. */
export interface TimedWork {
  readonly samples: number;
  readonly ms: number;
}

/** Work on n samples takes `fixedMs + n · msPerSample`. */
export interface AffineTime {
  readonly fixedMs: number;
  readonly msPerSample: number;
}

/** How much a measurement by itself says of the slope, of what two of them do that are far apart. */
const ORIGIN_WEIGHT = 0.25;

/**
 * The line through measured times, by the weighted median of the slopes between all pairs (Theil 1950, Sen 1968; weighted by
 * distance as by Sievers 1978), so that up to a quarter of them may be far off. Each measurement is paired with the origin too, at
 * little weight: where all are of about one size that is all there is to go by, and time is in proportion.
 */
export function fitAffine(times: readonly TimedWork[]): AffineTime {
  const proportional = median(times.map(({ samples, ms }) => ms / samples));
  if (times.every(({ samples }) => samples === times[0]!.samples)) return { fixedMs: 0, msPerSample: proportional };
  const most = Math.max(...times.map(({ samples }) => samples));
  const slopes = times.flatMap(({ samples, ms }, i) => [
    { value: ms / samples, weight: (ORIGIN_WEIGHT * samples) / most },
    ...times.slice(0, i).flatMap((other) => slopeBetween(other, { samples, ms }, most)),
  ]);
  const msPerSample = weightedMedian(slopes);
  const fixedMs = median(times.map(({ samples, ms }) => ms - samples * msPerSample));
  // Of noise: no device takes less than nothing before it begins, nor for a sample.
  return fixedMs < 0 || msPerSample <= 0 ? { fixedMs: 0, msPerSample: proportional } : { fixedMs, msPerSample };
}

interface Weighted {
  readonly value: number;
  readonly weight: number;
}

function slopeBetween(a: TimedWork, b: TimedWork, most: number): readonly Weighted[] {
  const distance = b.samples - a.samples;
  return distance === 0 ? [] : [{ value: (b.ms - a.ms) / distance, weight: Math.abs(distance) / most }];
}

/** The lower one of the two in the middle. */
export function median(values: readonly number[]): number {
  return [...values].sort((a, b) => a - b)[(values.length - 1) >> 1]!;
}

function weightedMedian(values: readonly Weighted[]): number {
  const sorted = [...values].sort((a, b) => a.value - b.value);
  const half = values.reduce((sum, { weight }) => sum + weight, 0) / 2;
  let below = 0;
  return sorted.find(({ weight }) => (below += weight) >= half * (1 - 1e-12))!.value;
}
