import type { StateMap } from '../state-map.js';

/** A code for each sign and upper 14 bits of a magnitude below 2; then the borders, then the values. */
const BUCKETS = 2 * 2 ** 14;

/** Of the first code of a decade below the extreme; the last entry is the extreme itself. */
const DECADE_ENTRIES = 8;

/** As assembly/state.ts reads them: buckets, borders, values, then of the decades the cells a unit, the place of 0, and the last code; and where they begin. */
const BORDERS_AT = BUCKETS;
const VALUES_AT = BORDERS_AT + 4 * 256;
const STEPS_AT = VALUES_AT + 4 * 256;
const FIRSTS_AT = STEPS_AT + 4 * DECADE_ENTRIES;
const LASTS_AT = FIRSTS_AT + 4 * DECADE_ENTRIES;
const DECADES_AT = LASTS_AT + 16;
export const STATE_TABLE_BYTES = DECADES_AT + 4 * DECADE_ENTRIES;

export function writeStateTable(heap: Uint8Array, at: number, map: StateMap): void {
  const { steps, firsts, lasts, decades } = decadesOf(map);
  heap.set(bucketsOf(map), at);
  const tables = { [BORDERS_AT]: map.borders, [VALUES_AT]: map.values, [STEPS_AT]: steps, [FIRSTS_AT]: firsts, [DECADES_AT]: decades };
  for (const [offset, table] of Object.entries(tables)) heap.set(new Uint8Array(table.buffer), at + Number(offset));
  heap.set(lasts, at + LASTS_AT);
}

/** Codes above that of 0, counted from it, lie evenly within a decade. */
function decadesOf({ values, borders, zero, decades }: StateMap): Record<'steps' | 'firsts' | 'decades', Float32Array> & { lasts: Uint8Array } {
  const one = values.length - 1 - zero;
  const steps = new Float32Array(DECADE_ENTRIES);
  const firsts = new Float32Array(DECADE_ENTRIES);
  const lasts = new Uint8Array(16);
  const begins = Float32Array.of(borders[zero]!, ...decades.map(({ first, count }) => borders[zero + first + count - 1]!));
  decades.forEach(({ first, count, extreme }, i) => {
    steps[i] = count / (0.9 * extreme);
    firsts[i] = first - count / 9;
    lasts[i + 1] = first + count - 1;
  });
  firsts[decades.length] = one;
  lasts[decades.length + 1] = one;
  return { steps, firsts, lasts, decades: begins };
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
