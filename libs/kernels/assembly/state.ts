// Optimizer state in 8 bits: each block is a float32 scale and then a code a value, which a table of 256 makes a part of the
// scale. The scale is the value of greatest magnitude with its sign, so that it is coded as exactly 1.
import { greatestMagnitude } from './rows';

/** Is +magnitude among the values, and not −magnitude alone? */
// @ts-ignore: decorator
@inline
function isReached(x: usize, n: usize, magnitude: f32): bool {
  const target = f32x4.splat(magnitude);
  const wide = x + ((n & ~3) << 2);
  const end = x + (n << 2);
  let found = i32x4.splat(0);
  while (x < wide) {
    found = v128.or(found, f32x4.eq(v128.load(x), target));
    x += 16;
  }
  if (v128.any_true(found)) return true;
  while (x < end) {
    if (load<f32>(x) == magnitude) return true;
    x += 4;
  }
  return false;
}

/** Where the tables of a map lie behind its buckets (libs/kernels/src/wasm/state-tables.ts). */
const BORDERS: usize = 0x8000;
const VALUES: usize = BORDERS + 0x400;
const STEPS: usize = VALUES + 0x400;
const FIRSTS: usize = STEPS + 32;
const LASTS: usize = FIRSTS + 32;
const DECADES: usize = LASTS + 16;

/** The nearest code by buckets, which give the lowest code of what shares sign, exponent and seven bits of significand: none has more than one border. */
// @ts-ignore: decorator
@inline
function codeOf(value: f32, scale: f32, tables: usize, leastOfPositive: i32): i32 {
  const part = value / scale;
  const bits = reinterpret<u32>(part) >>> 16;
  let code = <i32>load<u8>(tables + ((bits & 0x3fff) | ((bits >>> 1) & 0x4000)));
  code += i32(part > load<f32>(tables + BORDERS + (<usize>code << 2)));
  return max(code, value > 0 ? leastOfPositive : 0);
}

/** Entry i of eight float32: each lane of `offsets` has the places of its four bytes. */
// @ts-ignore: decorator
@inline
function entryOf(offsets: v128, low: v128, high: v128): v128 {
  return v128.or(i8x16.swizzle(low, offsets), i8x16.swizzle(high, i8x16.sub(offsets, i8x16.splat(16))));
}

/** Lanes in which rounding may have moved a value over a border: they are looked up. */
let doubtful: v128 = i32x4.splat(0);

/**
 * Codes of four parts of the scale. Within a decade codes lie evenly: a part times `STEPS` plus `FIRSTS` is a code and where
 * in its cell the part is; the cell of a decade's last value reaches into the next decade.
 */
// @ts-ignore: decorator
@inline
function fourCodes(x: v128, scales: v128, tables: usize, zero: v128, least: v128): v128 {
  const part = f32x4.div(x, scales);
  const magnitude = f32x4.abs(part);
  const minus = i32x4.shr_s(part, 31);
  // A part on a border belongs to the lower code: below zero to that of the greater magnitude.
  const bits = i32x4.sub(magnitude, minus);
  let decade = i32x4.gt_s(bits, v128.load32_splat(tables + DECADES));
  decade = i32x4.add(decade, i32x4.gt_s(bits, v128.load32_splat(tables + DECADES, 4)));
  decade = i32x4.add(decade, i32x4.gt_s(bits, v128.load32_splat(tables + DECADES, 8)));
  decade = i32x4.add(decade, i32x4.gt_s(bits, v128.load32_splat(tables + DECADES, 12)));
  decade = i32x4.add(decade, i32x4.gt_s(bits, v128.load32_splat(tables + DECADES, 16)));
  decade = i32x4.add(decade, i32x4.gt_s(bits, v128.load32_splat(tables + DECADES, 20)));
  decade = i32x4.add(decade, i32x4.gt_s(bits, v128.load32_splat(tables + DECADES, 24)));
  decade = i32x4.neg(i32x4.add(decade, i32x4.gt_s(bits, v128.load32_splat(tables + DECADES, 28))));
  const offsets = i32x4.add(i32x4.mul(i32x4.sub(decade, i32x4.splat(1)), i32x4.splat(0x04040404)), i32x4.splat(0x03020100));
  const step = entryOf(offsets, v128.load(tables + STEPS), v128.load(tables + STEPS, 16));
  const first = entryOf(offsets, v128.load(tables + FIRSTS), v128.load(tables + FIRSTS, 16));
  const last = i8x16.swizzle(v128.load(tables + LASTS), v128.or(decade, i32x4.splat(0xffffff00)));
  const place = f32x4.add(f32x4.mul(magnitude, step), first);
  const offBorder = f32x4.abs(f32x4.sub(place, f32x4.nearest(place)));
  doubtful = v128.or(doubtful, v128.and(f32x4.lt(offBorder, f32x4.splat(0.00048828125)), f32x4.gt(step, f32x4.splat(0))));
  const code = i32x4.min_s(i32x4.trunc_sat_f32x4_s(place), last);
  const signed = i32x4.max_s(i32x4.add(zero, i32x4.sub(v128.xor(code, minus), minus)), i32x4.splat(0));
  return i32x4.max_s(signed, v128.and(f32x4.gt(x, f32x4.splat(0)), least));
}

/**
 * `out` gets blocks · (4 + length) bytes. `zero` is the code of 0, `leastOfPositive` the least that a value above 0 gets. A
 * block with a NaN or an infinity gets the scale infinity.
 */
export function encodeState(
  out: usize, x: usize, blocks: usize, length: usize, tables: usize, zero: i32, leastOfPositive: i32,
): void {
  const zeros = i32x4.splat(zero);
  const least = i32x4.splat(leastOfPositive);
  for (; blocks > 0; blocks--) {
    const greatest = greatestMagnitude(x, length);
    const magnitude = reinterpret<f32>(min(greatest, 0x7f800000));
    const wide = x + ((length & ~15) << 2);
    const end = x + (length << 2);
    if (greatest == 0 || greatest >= 0x7f800000) {
      store<f32>(out, magnitude);
      memory.fill(out + 4, 0, length);
      out += 4 + length;
      x = end;
      continue;
    }
    const scale = isReached(x, length, magnitude) ? magnitude : -magnitude;
    const scales = f32x4.splat(scale);
    store<f32>(out, scale);
    out += 4;
    while (x < wide) {
      doubtful = i32x4.splat(0);
      const a = fourCodes(v128.load(x), scales, tables, zeros, least);
      const b = fourCodes(v128.load(x, 16), scales, tables, zeros, least);
      const c = fourCodes(v128.load(x, 32), scales, tables, zeros, least);
      const d = fourCodes(v128.load(x, 48), scales, tables, zeros, least);
      v128.store(out, i8x16.narrow_i16x8_u(i16x8.narrow_i32x4_s(a, b), i16x8.narrow_i32x4_s(c, d)));
      if (v128.any_true(doubtful)) {
        for (let i: usize = 0; i < 16; i++) store<u8>(out + i, <u8>codeOf(load<f32>(x + (i << 2)), scale, tables, leastOfPositive));
      }
      out += 16;
      x += 64;
    }
    while (x < end) {
      store<u8>(out, <u8>codeOf(load<f32>(x), scale, tables, leastOfPositive));
      out += 1;
      x += 4;
    }
  }
}

/** out[i] = scale · values[code[i]] */
export function decodeState(out: usize, coded: usize, blocks: usize, length: usize, tables: usize): void {
  const values = tables + VALUES;
  for (; blocks > 0; blocks--) {
    const scale = load<f32>(coded);
    const scales = f32x4.splat(scale);
    coded += 4;
    const wide = out + ((length & ~3) << 2);
    const end = out + (length << 2);
    while (out < wide) {
      const codes = load<u32>(coded);
      let four = v128.load32_zero(values + ((codes & 255) << 2));
      four = v128.load_lane<u32>(values + (((codes >>> 8) & 255) << 2), four, 1);
      four = v128.load_lane<u32>(values + (((codes >>> 16) & 255) << 2), four, 2);
      four = v128.load_lane<u32>(values + ((codes >>> 24) << 2), four, 3);
      v128.store(out, f32x4.mul(four, scales));
      coded += 4;
      out += 16;
    }
    while (out < end) {
      store<f32>(out, load<f32>(values + (<usize>load<u8>(coded) << 2)) * scale);
      coded += 1;
      out += 4;
    }
  }
}
