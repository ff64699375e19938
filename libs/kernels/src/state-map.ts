/** What an 8-bit code of optimizer state stands for, in parts of its block's extreme. */
export interface StateMap {
  /** Ascending; code i stands for values[i]. */
  readonly values: Float32Array;
  /** Halfway to the value above, infinity above the last: a code is the count of borders below what it codes. */
  readonly borders: Float32Array;
  /** Code of 0. */
  readonly zero: number;
  /** Of values above 0, from the least one: codes counted from that of 0, how many, and what the decade ends at. */
  readonly decades: readonly { readonly first: number; readonly count: number; readonly extreme: number }[];
  /** No positive value gets a code below: a second moment that became 0 would be divided by. */
  readonly leastOfPositive: number;
}

export type StateMapName = 'signed' | 'unsigned';

const CODES = 256;
const DECADES = 7;

/**
 * Dynamic quantization (Dettmers 2016, arXiv 1511.04561; Dettmers et al. 2022, arXiv 2110.02861, section 1.3): seven decades
 * below 1, the upper ones in finer steps than the lower; the decade from 0.1 up has 64 values, 128 where nothing is
 * negative, each decade below half as many. Beside them 0 and 1.
 */
export const STATE_MAPS: Readonly<Record<StateMapName, StateMap>> = { signed: createMap(true), unsigned: createMap(false) };

function createMap(signed: boolean): StateMap {
  const list = [0, 1];
  const decades = [];
  let first = 1;
  for (let decade = 0; decade < DECADES; decade++) {
    const count = 2 ** (decade + (signed ? 0 : 1));
    const extreme = 10 ** (decade + 1 - DECADES);
    decades.push({ first, count, extreme });
    first += count;
    for (let i = 0; i < count; i++) {
      const value = extreme * (0.1 + (0.9 * (i + 0.5)) / count);
      list.push(value);
      if (signed) list.push(-value);
    }
  }
  const values = Float32Array.from(list.sort((a, b) => a - b));
  const borders = Float32Array.from({ length: CODES }, (_, i) => (i + 1 < CODES ? (values[i]! + values[i + 1]!) / 2 : Infinity));
  return { values, borders, zero: values.indexOf(0), decades, leastOfPositive: signed ? 0 : 1 };
}
