import { lowerMedian, lowerWeightedMedian } from '@longtail/core';

/** Work on n samples takes `fixedMs + n · msPerSample`. */
export interface AffineTime {
  readonly fixedMs: number;
  readonly msPerSample: number;
}

interface Line {
  fixedMs: number;
  msPerSample: number;
}

/** How much a measurement by itself says of the slope, of what two of them do that are far apart. */
const ORIGIN_WEIGHT = 0.25;

/**
 * Makes `line` the one through measured times of work on so many samples each, by the weighted median of the slopes between all pairs (Theil 1950,
 * Sen 1968; weighted by distance as by Sievers 1978), so that up to a quarter of them may be far off. Each measurement is paired with the
 * origin too, at little weight: where all are of about one size that is all there is to go by, and time is in proportion.
 */
export function fitAffine(line: Line, samples: readonly number[], ms: readonly number[]): void {
  if (areAlike(samples)) return fitProportional(line, samples, ms);
  const msPerSample = medianSlope(samples, ms);
  for (let i = 0; i < samples.length; i++) values[i] = ms[i]! - samples[i]! * msPerSample;
  const fixedMs = lowerMedian(values, samples.length);
  // Of noise: no device takes less than nothing before it begins, nor for a sample.
  if (fixedMs < 0 || msPerSample <= 0) return fitProportional(line, samples, ms);
  line.fixedMs = fixedMs;
  line.msPerSample = msPerSample;
}

/** The same, through the origin, by the median of what a sample took: of work in steps that are all of one size. */
export function fitProportional(line: Line, samples: readonly number[], ms: readonly number[]): void {
  makeRoom(samples.length);
  for (let i = 0; i < samples.length; i++) values[i] = ms[i]! / samples[i]!;
  line.fixedMs = 0;
  line.msPerSample = lowerMedian(values, samples.length);
}

function areAlike(samples: readonly number[]): boolean {
  for (let i = 1; i < samples.length; i++) if (samples[i] !== samples[0]) return false;
  return true;
}

/** That a median is taken of, and what they weigh. */
let values = new Float64Array(0);
let weights = new Float64Array(0);

function makeRoom(room: number): void {
  if (values.length >= room) return;
  values = new Float64Array(room);
  weights = new Float64Array(room);
}

function medianSlope(samples: readonly number[], ms: readonly number[]): number {
  makeRoom((samples.length * (samples.length + 1)) / 2);
  let count = 0;
  let total = 0;
  for (let i = 0; i < samples.length; i++) {
    const size = samples[i]!;
    values[count] = ms[i]! / size;
    total += weights[count++] = ORIGIN_WEIGHT * size;
    for (let other = 0; other < i; other++) {
      const distance = size - samples[other]!;
      if (distance === 0) continue;
      values[count] = (ms[i]! - ms[other]!) / distance;
      total += weights[count++] = Math.abs(distance);
    }
  }
  return lowerWeightedMedian(values, weights, count, total);
}
