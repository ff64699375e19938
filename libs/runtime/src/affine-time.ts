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
  begin(samples.length);
  for (let i = 0; i < samples.length; i++) values[count++] = ms[i]! - samples[i]! * msPerSample;
  const fixedMs = lowerMedian();
  // Of noise: no device takes less than nothing before it begins, nor for a sample.
  if (fixedMs < 0 || msPerSample <= 0) return fitProportional(line, samples, ms);
  line.fixedMs = fixedMs;
  line.msPerSample = msPerSample;
}

/** The same, through the origin, by the median of what a sample took: of work in steps that are all of one size. */
export function fitProportional(line: Line, samples: readonly number[], ms: readonly number[]): void {
  begin(samples.length);
  for (let i = 0; i < samples.length; i++) values[count++] = ms[i]! / samples[i]!;
  line.fixedMs = 0;
  line.msPerSample = lowerMedian();
}

function areAlike(samples: readonly number[]): boolean {
  for (let i = 1; i < samples.length; i++) if (samples[i] !== samples[0]) return false;
  return true;
}

/** That a median is taken of, and what they weigh; each begins anew. */
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

function medianSlope(samples: readonly number[], ms: readonly number[]): number {
  begin((samples.length * (samples.length + 1)) / 2);
  let most = 0;
  for (let i = 0; i < samples.length; i++) most = Math.max(most, samples[i]!);
  for (let i = 0; i < samples.length; i++) {
    const size = samples[i]!;
    add(ms[i]! / size, (ORIGIN_WEIGHT * size) / most);
    for (let other = 0; other < i; other++) {
      const distance = size - samples[other]!;
      if (distance !== 0) add((ms[i]! - ms[other]!) / distance, Math.abs(distance) / most);
    }
  }
  return lowerWeightedMedian();
}

function add(value: number, weight: number): void {
  values[count] = value;
  weights[count++] = weight;
}

/** The lower one of the two in the middle, of the first `length`. @default all */
export function median(of: ArrayLike<number>, length = of.length): number {
  begin(length);
  for (let i = 0; i < length; i++) values[count++] = of[i]!;
  return lowerMedian();
}

/** Where half of the weight lies, of the two in the middle the lower one. */
export function weightedMedian(of: readonly number[], weighing: readonly number[]): number {
  begin(of.length);
  for (let i = 0; i < of.length; i++) add(of[i]!, weighing[i]!);
  return lowerWeightedMedian();
}

/** By taking the values apart around one of them (Hoare's FIND): a tenth of the time of sorting them. */
function lowerMedian(): number {
  const middle = (count - 1) >> 1;
  let low = 0;
  let high = count - 1;
  while (low < high) {
    const pivot = values[middle]!;
    let from = low;
    let to = high;
    while (from <= to) {
      while (values[from]! < pivot) from++;
      while (values[to]! > pivot) to--;
      if (from > to) break;
      const value = values[from]!;
      values[from++] = values[to]!;
      values[to--] = value;
    }
    if (to < middle) low = from;
    if (from > middle) high = to;
  }
  return values[middle]!;
}

/** The same, where half of the weight lies. */
function lowerWeightedMedian(): number {
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
