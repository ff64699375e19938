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
  const proportional = medianOf(times, ({ samples, ms }) => ms / samples);
  if (times.every(({ samples }) => samples === times[0]!.samples)) return { fixedMs: 0, msPerSample: proportional };
  const msPerSample = medianSlope(times);
  const fixedMs = medianOf(times, ({ samples, ms }) => ms - samples * msPerSample);
  // Of noise: no device takes less than nothing before it begins, nor for a sample.
  return fixedMs < 0 || msPerSample <= 0 ? { fixedMs: 0, msPerSample: proportional } : { fixedMs, msPerSample };
}

/** That a median is taken of, with their weights; each begins anew. */
let values = new Float64Array(0);
let weights = new Float64Array(0);

function makeRoom(count: number): void {
  if (values.length >= count) return;
  values = new Float64Array(count);
  weights = new Float64Array(count);
}

function medianSlope(times: readonly TimedWork[]): number {
  makeRoom((times.length * (times.length + 1)) / 2);
  const most = times.reduce((larger, { samples }) => Math.max(larger, samples), 0);
  let count = 0;
  const add = (slope: number, weight: number) => {
    values[count] = slope;
    weights[count++] = weight;
  };
  for (let i = 0; i < times.length; i++) {
    const { samples, ms } = times[i]!;
    add(ms / samples, (ORIGIN_WEIGHT * samples) / most);
    for (let other = 0; other < i; other++) {
      const distance = samples - times[other]!.samples;
      if (distance !== 0) add((ms - times[other]!.ms) / distance, Math.abs(distance) / most);
    }
  }
  return weightedMedian(count);
}

/** The lower one of the two in the middle. */
export function median(of: readonly number[]): number {
  return medianOf(of, (value) => value);
}

function medianOf<T>(items: readonly T[], value: (item: T) => number): number {
  makeRoom(items.length);
  for (let i = 0; i < items.length; i++) {
    values[i] = value(items[i]!);
    weights[i] = 1;
  }
  return weightedMedian(items.length);
}

/** Of the first `count` values, by taking them apart around one of them (Hoare's FIND): a tenth of the time of sorting them. */
function weightedMedian(count: number): number {
  let half = 0;
  for (let i = 0; i < count; i++) half += weights[i]! / 2;
  half *= 1 - 1e-12;
  let low = 0;
  let high = count - 1;
  let below = 0;
  while (low < high) {
    const pivot = values[(low + high) >> 1]!;
    let from = low;
    let to = high;
    let lighter = 0;
    let equal = 0;
    for (let at = low; at <= to;) {
      const slope = values[at]!;
      if (slope < pivot) {
        lighter += weights[at]!;
        swap(at++, from++);
      } else if (slope > pivot) swap(at, to--);
      else equal += weights[at++]!;
    }
    if (below + lighter >= half) high = from - 1;
    else if (below + lighter + equal >= half) return pivot;
    else {
      below += lighter + equal;
      low = to + 1;
    }
  }
  return values[high]!;
}

function swap(a: number, b: number): void {
  const slope = values[a]!;
  const weight = weights[a]!;
  values[a] = values[b]!;
  weights[a] = weights[b]!;
  values[b] = slope;
  weights[b] = weight;
}
