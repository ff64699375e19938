import { createRng } from '@longtail/core';

/** The shuffled order of one epoch: a bijection of [0, length) onto itself. */
export interface EpochOrder {
  readonly length: number;
  /** Sample at a position of the order. */
  index(position: number): number;
  /** Samples at positions [start, end). */
  indices(range: { readonly start: number; readonly end: number }): Int32Array;
}

/** Even; below about six a Feistel network on few bits leaves a visible pattern. */
const ROUNDS = 8;
/** Networks on fewer bits reach too few permutations; short orders walk some cycles more instead. */
const MIN_BITS = 8;
const MAX_LENGTH = 2 ** 31 - 1;

/**
 * The order in which epoch `epoch` visits its samples, equal on every machine and without a table: an unbalanced Feistel
 * network over the smallest power of two that holds `length`, walked until it falls into range (format-preserving
 * encryption by cycle walking, Black & Rogaway 2002). Each position costs at most two walks on average once
 * length > 128.
 */
export function epochOrder(length: number, seed: number, epoch: number): EpochOrder {
  if (!Number.isSafeInteger(length) || length < 1 || length > MAX_LENGTH) throw new RangeError(`an order of ${length} samples`);
  const bits = Math.max(MIN_BITS, 32 - Math.clz32(length - 1));
  const lowBits = bits >>> 1;
  const lowMask = 2 ** lowBits - 1;
  const highMask = 2 ** (bits - lowBits) - 1;
  const rng = createRng(`epoch-order/${seed}/${epoch}`);
  const keys = Int32Array.from({ length: ROUNDS }, () => rng.uint32() | 0);

  const permute = (position: number): number => {
    let low = position & lowMask;
    let high = position >>> lowBits;
    for (let round = 0; round < ROUNDS; round += 2) {
      high ^= mix(low ^ keys[round]) & highMask;
      low ^= mix(high ^ keys[round + 1]) & lowMask;
    }
    return ((high << lowBits) | low) >>> 0;
  };

  const index = (position: number): number => {
    let at = permute(position);
    while (at >= length) at = permute(at);
    return at;
  };

  return {
    length,
    index(position) {
      if (!(position >= 0 && position < length)) throw new RangeError(`position ${position} of ${length}`);
      return index(position);
    },
    indices({ start, end }) {
      if (!(start >= 0 && start <= end && end <= length)) throw new RangeError(`positions [${start}, ${end}) of ${length}`);
      const out = new Int32Array(end - start);
      for (let i = 0; i < out.length; i++) out[i] = index(start + i);
      return out;
    },
  };
}

/** Finalizer of MurmurHash3, 32 bits. */
function mix(value: number): number {
  let h = value;
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b);
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
  return h ^ (h >>> 16);
}
