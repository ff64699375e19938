import type { StateMap } from '../state-map.js';

/** A code for each sign and upper 14 bits of a magnitude below 2; then the borders, then the values. */
const BUCKETS = 2 * 2 ** 14;

/** Where they lie in the table of a map. */
export const BORDERS_AT = BUCKETS;
export const VALUES_AT = BORDERS_AT + 4 * 256;
export const STATE_TABLE_BYTES = VALUES_AT + 4 * 256;

export function writeStateTable(heap: Uint8Array, at: number, map: StateMap): void {
  heap.set(bucketsOf(map), at);
  heap.set(new Uint8Array(map.borders.buffer), at + BORDERS_AT);
  heap.set(new Uint8Array(map.values.buffer), at + VALUES_AT);
}

/** The code of the lowest value of each bucket. */
function bucketsOf({ borders }: StateMap): Uint8Array {
  const buckets = new Uint8Array(BUCKETS);
  const value = new Float32Array(1);
  const bits = new Uint32Array(value.buffer);
  const codeAt = (pattern: number, guess: number): number => {
    bits[0] = pattern;
    let code = guess;
    while (value[0]! > borders[code]!) code++;
    while (code > 0 && value[0]! <= borders[code - 1]!) code--;
    return code;
  };
  let code = 0;
  for (let i = 0; i < BUCKETS / 2; i++) buckets[i] = code = codeAt(i << 16, code);
  for (let i = 0; i < BUCKETS / 2; i++) buckets[BUCKETS / 2 + i] = code = codeAt((0x8000_0000 | (i << 16) | 0xffff) >>> 0, code);
  return buckets;
}
