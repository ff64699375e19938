// Rows of signs and levels. `sign` is a bit a value: the row's mean magnitude with its sign. `int2` is two planes of bits,
// signs and levels: a magnitude above the row's mean is coded as the mean of those above, any other as the mean of the rest.
import { greatestMagnitude, put, putOne, spoil } from './rows';

// Means of magnitudes are taken in float64 and in the order of vector.ts's dot: where all are equal, their mean is exact.

// @ts-ignore: decorator
@inline
function lowPair(x: v128): v128 {
  return f64x2.promote_low_f32x4(x);
}

// @ts-ignore: decorator
@inline
function highPair(x: v128): v128 {
  return f64x2.promote_low_f32x4(v128.shuffle<i64>(x, x, 1, 0));
}

// @ts-ignore: decorator
@inline
function total(s01: v128, s23: v128, s45: v128, s67: v128): f64 {
  const lanes = f64x2.add(f64x2.add(s01, s23), f64x2.add(s45, s67));
  return f64x2.extract_lane(lanes, 0) + f64x2.extract_lane(lanes, 1);
}

/** Σ |x| */
function sumOfMagnitudes(x: usize, n: usize): f64 {
  let s01 = f64x2.splat(0);
  let s23 = s01;
  let s45 = s01;
  let s67 = s01;
  const wide = x + ((n & ~7) << 2);
  const end = x + (n << 2);
  while (x < wide) {
    const a = f32x4.abs(v128.load(x));
    const b = f32x4.abs(v128.load(x, 16));
    s01 = f64x2.add(s01, lowPair(a));
    s23 = f64x2.add(s23, highPair(a));
    s45 = f64x2.add(s45, lowPair(b));
    s67 = f64x2.add(s67, highPair(b));
    x += 32;
  }
  let sum = total(s01, s23, s45, s67);
  while (x < end) {
    sum += <f64>abs<f32>(load<f32>(x));
    x += 4;
  }
  return sum;
}

/** Σ |x| of those above `border`, or of those that are not. */
// @ts-ignore: decorator
@inline
function sumBeside(x: usize, n: usize, border: f32, above: bool): f64 {
  const borders = f32x4.splat(border);
  let s01 = f64x2.splat(0);
  let s23 = s01;
  let s45 = s01;
  let s67 = s01;
  const wide = x + ((n & ~7) << 2);
  const end = x + (n << 2);
  while (x < wide) {
    let a = f32x4.abs(v128.load(x));
    let b = f32x4.abs(v128.load(x, 16));
    a = above ? v128.and(a, f32x4.gt(a, borders)) : v128.andnot(a, f32x4.gt(a, borders));
    b = above ? v128.and(b, f32x4.gt(b, borders)) : v128.andnot(b, f32x4.gt(b, borders));
    s01 = f64x2.add(s01, lowPair(a));
    s23 = f64x2.add(s23, highPair(a));
    s45 = f64x2.add(s45, lowPair(b));
    s67 = f64x2.add(s67, highPair(b));
    x += 32;
  }
  let sum = total(s01, s23, s45, s67);
  while (x < end) {
    const magnitude = abs<f32>(load<f32>(x));
    if (magnitude > border == above) sum += <f64>magnitude;
    x += 4;
  }
  return sum;
}

function countAbove(x: usize, n: usize, border: f32): i32 {
  const borders = f32x4.splat(border);
  let counts = i32x4.splat(0);
  const wide = x + ((n & ~3) << 2);
  const end = x + (n << 2);
  while (x < wide) {
    counts = i32x4.sub(counts, f32x4.gt(f32x4.abs(v128.load(x)), borders));
    x += 16;
  }
  let count = i32x4.extract_lane(counts, 0) + i32x4.extract_lane(counts, 1) + i32x4.extract_lane(counts, 2) + i32x4.extract_lane(counts, 3);
  while (x < end) {
    count += i32(abs<f32>(load<f32>(x)) > border);
    x += 4;
  }
  return count;
}

/** To 8 significant bits, halves up, no further than the greatest finite value. */
// @ts-ignore: decorator
@inline
function toLevel(mean: f64): u32 {
  return min<u32>((reinterpret<u32>(<f32>mean) + 0x8000) >>> 16, 0x7f7f);
}

/** The mean of the magnitudes, rounded down: what is above it is above the mean. */
// @ts-ignore: decorator
@inline
function borderOf(x: usize, n: usize): f32 {
  const mean = sumOfMagnitudes(x, n) / <f64>n;
  const nearest = <f32>mean;
  return <f64>nearest > mean ? reinterpret<f32>(reinterpret<i32>(nearest) - 1) : nearest;
}

// ---- int2

/** The four bytes of a row's levels, the lower one first, and then both planes; n > 0 values, all finite. */
export function encodeInt2(out: usize, x: usize, n: usize): void {
  const border = borderOf(x, n);
  const above = countAbove(x, n, border);
  const low = toLevel(sumBeside(x, n, border, false) / <f64>(<i32>n - above));
  const high = above == 0 ? low : toLevel(sumBeside(x, n, border, true) / <f64>above);
  store<u32>(out, low | (high << 16));
  const borders = f32x4.splat(border);
  const plane = (n + 7) >> 3;
  const wide = x + ((n & ~7) << 2);
  const end = x + (n << 2);
  let signs = out + 4;
  while (x < wide) {
    const a = v128.load(x);
    const b = v128.load(x, 16);
    store<u8>(signs, <u8>(i32x4.bitmask(a) | (i32x4.bitmask(b) << 4)));
    const aAbove = i32x4.bitmask(f32x4.gt(f32x4.abs(a), borders));
    const bAbove = i32x4.bitmask(f32x4.gt(f32x4.abs(b), borders));
    store<u8>(signs + plane, <u8>(aAbove | (bAbove << 4)));
    signs += 1;
    x += 32;
  }
  if (x == end) return;
  let sign: u32 = 0;
  let level: u32 = 0;
  for (let i: u32 = 0; x < end; i++) {
    sign |= (load<u32>(x) >>> 31) << i;
    level |= u32(abs<f32>(load<f32>(x)) > border) << i;
    x += 4;
  }
  store<u8>(signs, <u8>sign);
  store<u8>(signs + plane, <u8>level);
}

export function encodeInt2Rows(out: usize, x: usize, rows: usize, length: usize): void {
  const planes = ((length + 7) >> 3) << 1;
  for (; rows > 0; rows--) {
    if (greatestMagnitude(x, length) > 0x7f7fffff) spoil(out, 0x7f807f80, planes);
    else encodeInt2(out, x, length);
    out += 4 + planes;
    x += length << 2;
  }
}

/** The lanes whose bit is set: of the lower or the upper half of a byte. */
// @ts-ignore: decorator
@inline
function lanesOf(byte: v128, bits: v128): v128 {
  return i32x4.eq(v128.and(byte, bits), bits);
}

// @ts-ignore: decorator
@inline
function int2Rows(out: usize, coded: usize, rows: usize, length: usize, add: bool, weight: f32): void {
  const weights = f32x4.splat(weight);
  const lower = i32x4(1, 2, 4, 8);
  const upper = i32x4(16, 32, 64, 128);
  const minus = i32x4.splat(0x80000000);
  const plane = (length + 7) >> 3;
  for (; rows > 0; rows--) {
    const low = <u32>load<u16>(coded) << 16;
    const high = <u32>load<u16>(coded, 2) << 16;
    const lows = i32x4.splat(low);
    const highs = i32x4.splat(high);
    const wide = out + ((length & ~7) << 2);
    const end = out + (length << 2);
    let signs = coded + 4;
    while (out < wide) {
      const sign = i32x4.splat(<i32>load<u8>(signs));
      const level = i32x4.splat(<i32>load<u8>(signs + plane));
      const a = v128.bitselect(highs, lows, lanesOf(level, lower));
      const b = v128.bitselect(highs, lows, lanesOf(level, upper));
      put(out, v128.or(a, v128.and(lanesOf(sign, lower), minus)), add, weights);
      put(out + 16, v128.or(b, v128.and(lanesOf(sign, upper), minus)), add, weights);
      signs += 1;
      out += 32;
    }
    for (let i: u32 = 0; out < end; i++) {
      const level = (<u32>load<u8>(signs + plane) >>> i) & 1 ? high : low;
      putOne(out, reinterpret<f32>(level | (((<u32>load<u8>(signs) >>> i) & 1) << 31)), add, weight);
      out += 4;
    }
    coded += 4 + (plane << 1);
  }
}

export function decodeInt2Rows(out: usize, coded: usize, rows: usize, length: usize): void {
  int2Rows(out, coded, rows, length, false, 1);
}

export function accumulateInt2Rows(out: usize, coded: usize, rows: usize, length: usize, weight: f32): void {
  int2Rows(out, coded, rows, length, true, weight);
}

// ---- sign

export function encodeSignRows(out: usize, x: usize, rows: usize, length: usize): void {
  const plane = (length + 7) >> 3;
  for (; rows > 0; rows--) {
    const wide = x + ((length & ~7) << 2);
    const end = x + (length << 2);
    if (greatestMagnitude(x, length) > 0x7f7fffff) {
      spoil(out, 0x7f800000, plane);
      out += 4 + plane;
      x = end;
      continue;
    }
    store<f32>(out, <f32>(sumOfMagnitudes(x, length) / <f64>length));
    out += 4;
    while (x < wide) {
      store<u8>(out, <u8>(i32x4.bitmask(v128.load(x)) | (i32x4.bitmask(v128.load(x, 16)) << 4)));
      out += 1;
      x += 32;
    }
    if (x == end) continue;
    let sign: u32 = 0;
    for (let i: u32 = 0; x < end; i++) {
      sign |= (load<u32>(x) >>> 31) << i;
      x += 4;
    }
    store<u8>(out, <u8>sign);
    out += 1;
  }
}

// @ts-ignore: decorator
@inline
function signRows(out: usize, coded: usize, rows: usize, length: usize, add: bool, weight: f32): void {
  const weights = f32x4.splat(weight);
  const lower = i32x4(1, 2, 4, 8);
  const upper = i32x4(16, 32, 64, 128);
  const minus = i32x4.splat(0x80000000);
  for (; rows > 0; rows--) {
    const scale = load<u32>(coded);
    coded += 4;
    const scales = i32x4.splat(scale);
    const wide = out + ((length & ~7) << 2);
    const end = out + (length << 2);
    while (out < wide) {
      const sign = i32x4.splat(<i32>load<u8>(coded));
      put(out, v128.or(scales, v128.and(lanesOf(sign, lower), minus)), add, weights);
      put(out + 16, v128.or(scales, v128.and(lanesOf(sign, upper), minus)), add, weights);
      coded += 1;
      out += 32;
    }
    if (out == end) continue;
    for (let i: u32 = 0; out < end; i++) {
      putOne(out, reinterpret<f32>(scale | (((<u32>load<u8>(coded) >>> i) & 1) << 31)), add, weight);
      out += 4;
    }
    coded += 1;
  }
}

export function decodeSignRows(out: usize, coded: usize, rows: usize, length: usize): void {
  signRows(out, coded, rows, length, false, 1);
}

export function accumulateSignRows(out: usize, coded: usize, rows: usize, length: usize, weight: f32): void {
  signRows(out, coded, rows, length, true, weight);
}
