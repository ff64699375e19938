/** Work in equal pieces, and who could do it: `n` pieces take `fixedMs + n · msPerPiece`. Infinity in either: nobody to ask. */
export interface PiecesToShare {
  readonly fixedMs: Float64Array;
  readonly msPerPiece: Float64Array;
  readonly pieces: number;
  /** Above 0: each that takes part makes it that much longer for all. */
  readonly sharedMs: number;
  /** No longer one is of use. */
  readonly withinMs: number;
}

/** No other set is faster by more than this fraction. */
const PRECISION = 0.01;

/**
 * With whom work is done soonest where each that takes part delays all of them; undefined: with nobody within that time. Of the time T that is left
 * for work by itself it needs k(T) at least, those who do most pieces in it, and lasts T + k(T) · sharedMs; k falls as T grows, so that of
 * the times between two none is better than the shorter with the longer one's k (branch and bound, Land and Doig 1960).
 */
export function fastestSet(work: PiecesToShare): readonly number[] | undefined {
  const { fixedMs, sharedMs, withinMs } = work;
  const counts = new Float64Array(fixedMs.length);
  const needed = (ms: number) => fewest(piecesWithin(work, ms, counts), work.pieces);
  let bestMs = withinMs;
  let best: number | undefined;
  const weigh = (ms: number, k: number): void => {
    if (ms + k * sharedMs >= bestMs) return;
    bestMs = ms + k * sharedMs;
    best = ms;
  };
  const search = (fromMs: number, most: number, toMs: number, least: number): void => {
    if (most === least || fromMs + least * sharedMs >= (1 - PRECISION) * bestMs) return;
    const middleMs = (fromMs + toMs) / 2;
    if (middleMs <= fromMs || middleMs >= toMs) return;
    const k = needed(middleMs);
    weigh(middleMs, k);
    search(fromMs, most, middleMs, k);
    search(middleMs, k, toMs, least);
  };
  const aloneMs = timeAlone(work);
  weigh(aloneMs, 1);
  search(0, Infinity, aloneMs, 1);
  if (best === undefined) return undefined;
  const k = needed(best);
  return largest(piecesWithin(work, best, counts), k);
}

function timeAlone({ fixedMs, msPerPiece, pieces }: PiecesToShare): number {
  return fixedMs.reduce((least, ms, i) => Math.min(least, ms + pieces * msPerPiece[i]!), Infinity);
}

/** How many each has done by then, into `counts`. */
function piecesWithin({ fixedMs, msPerPiece, pieces }: PiecesToShare, ms: number, counts: Float64Array): Float64Array {
  for (let i = 0; i < counts.length; i++) {
    const leftMs = ms - fixedMs[i]!;
    counts[i] = leftMs > 0 ? Math.min(pieces, Math.floor(leftMs / msPerPiece[i]! + 1e-9)) : 0;
  }
  return counts;
}

/** How many of the largest add up to the sum, Infinity: all do not; by taking the counts apart around one of them, as Hoare's FIND does. */
function fewest(counts: Float64Array, sum: number): number {
  let low = 0;
  let high = counts.length - 1;
  let left = sum;
  while (low <= high) {
    const pivot = counts[(low + high) >> 1]!;
    let from = low;
    let to = high;
    let larger = 0;
    for (let at = low; at <= to;) {
      const count = counts[at]!;
      if (count > pivot) {
        larger += count;
        counts[at++] = counts[from]!;
        counts[from++] = count;
      } else if (count < pivot) {
        counts[at] = counts[to]!;
        counts[to--] = count;
      } else at++;
    }
    const equal = to - from + 1;
    if (larger >= left) high = from - 1;
    else if (larger + equal * pivot >= left) return from + Math.ceil((left - larger) / pivot);
    else {
      left -= larger + equal * pivot;
      low = to + 1;
    }
  }
  return Infinity;
}

/** The first of equal ones. */
function largest(counts: Float64Array, k: number): readonly number[] {
  return Array.from(counts.keys())
    .sort((a, b) => counts[b]! - counts[a]! || a - b)
    .slice(0, k);
}
