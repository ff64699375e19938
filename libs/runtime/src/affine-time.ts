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
  const inProportion = fitProportional(times);
  if (areAlike(times)) return inProportion;
  const msPerSample = medianSlope(times);
  begin(times.length);
  for (const { samples, ms } of times) add(ms - samples * msPerSample, 1);
  const fixedMs = weightedMedian();
  // Of noise: no device takes less than nothing before it begins, nor for a sample.
  return fixedMs < 0 || msPerSample <= 0 ? inProportion : { fixedMs, msPerSample };
}

/** The line through the origin, by the median of what a sample took: of work in steps that are all of one size. */
export function fitProportional(times: readonly TimedWork[]): AffineTime {
  begin(times.length);
  for (const { samples, ms } of times) add(ms / samples, 1);
  return { fixedMs: 0, msPerSample: weightedMedian() };
}

function areAlike(times: readonly TimedWork[]): boolean {
  for (const { samples } of times) if (samples !== times[0]!.samples) return false;
  return true;
}

/** That a median is taken of, with their weights; each begins anew. */
let values = new Float64Array(0);
let weights = new Float64Array(0);
let count = 0;

/** With room for so many. */
function begin(room: number): void {
  count = 0;
  if (values.length >= room) return;
  values = new Float64Array(room);
  weights = new Float64Array(room);
}

function add(value: number, weight: number): void {
  values[count] = value;
  weights[count++] = weight;
}

function medianSlope(times: readonly TimedWork[]): number {
  begin((times.length * (times.length + 1)) / 2);
  let most = 0;
  for (const { samples } of times) most = Math.max(most, samples);
  for (let i = 0; i < times.length; i++) {
    const { samples, ms } = times[i]!;
    add(ms / samples, (ORIGIN_WEIGHT * samples) / most);
    for (let other = 0; other < i; other++) {
      const distance = samples - times[other]!.samples;
      if (distance !== 0) add((ms - times[other]!.ms) / distance, Math.abs(distance) / most);
    }
  }
  return weightedMedian();
}

/** The lower one of the two in the middle. */
export function median(of: readonly number[]): number {
  begin(of.length);
  for (const value of of) add(value, 1);
  return weightedMedian();
}

/** By taking the values apart around one of them (Hoare's FIND): a tenth of the time of sorting them. */
function weightedMedian(): number {
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
