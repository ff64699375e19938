// Rows of integers, multiples of the row's scale, ties to even: −127 to 127 in `int8`, −7 to 7 in `int4`.
import { greatestMagnitude, put, putOne, spoil } from './rows';

/** At least greatest / most, with 16 significant bits, so that its multiples are exact; at least 2^-126. */
// @ts-ignore: decorator
@inline
export function integerScale(greatest: i32, most: f32): f32 {
  const up = (reinterpret<i32>(reinterpret<f32>(greatest) / most) + 0xff) & ~0xff;
  return max<f32>(reinterpret<f32>(up), reinterpret<f32>(0x00800000));
}

/** x · inverse to the nearest integer: adding 1.5 · 2^23 leaves it in the low bits. */
// @ts-ignore: decorator
@inline
function toIntegers(x: v128, inverse: v128): v128 {
  return i32x4.sub(f32x4.add(f32x4.mul(x, inverse), f32x4.splat(12582912)), i32x4.splat(0x4b400000));
}

/** Sixteen values as integers of eight bits. */
// @ts-ignore: decorator
@inline
function sixteenIntegers(x: usize, inverses: v128): v128 {
  const a = i16x8.narrow_i32x4_s(toIntegers(v128.load(x), inverses), toIntegers(v128.load(x, 16), inverses));
  const b = i16x8.narrow_i32x4_s(toIntegers(v128.load(x, 32), inverses), toIntegers(v128.load(x, 48), inverses));
  return i8x16.narrow_i16x8_s(a, b);
}

// @ts-ignore: decorator
@inline
function toInteger(x: f32, inverse: f32): i32 {
  return <i32>nearest<f32>(x * inverse);
}

// @ts-ignore: decorator
@inline
function putSixteen(out: usize, integers: v128, scales: v128, add: bool, weights: v128): void {
  const a = i16x8.extend_low_i8x16_s(integers);
  const b = i16x8.extend_high_i8x16_s(integers);
  put(out, f32x4.mul(f32x4.convert_i32x4_s(i32x4.extend_low_i16x8_s(a)), scales), add, weights);
  put(out + 16, f32x4.mul(f32x4.convert_i32x4_s(i32x4.extend_high_i16x8_s(a)), scales), add, weights);
  put(out + 32, f32x4.mul(f32x4.convert_i32x4_s(i32x4.extend_low_i16x8_s(b)), scales), add, weights);
  put(out + 48, f32x4.mul(f32x4.convert_i32x4_s(i32x4.extend_high_i16x8_s(b)), scales), add, weights);
}

export function encodeInt8Rows(out: usize, x: usize, rows: usize, length: usize): void {
  for (; rows > 0; rows--) {
    const greatest = greatestMagnitude(x, length);
    const end = x + (length << 2);
    if (greatest > 0x7f7fffff) {
      spoil(out, 0x7f800000, length);
      out += 4 + length;
      x = end;
      continue;
    }
    const scale = integerScale(greatest, 127);
    store<f32>(out, scale);
    encodeInt8(out + 4, x, length, 1 / scale);
    out += 4 + length;
    x = end;
  }
}

/** n values by the inverse of their scale. */
export function encodeInt8(out: usize, x: usize, n: usize, inverse: f32): void {
  const inverses = f32x4.splat(inverse);
  const wide = x + ((n & ~15) << 2);
  const end = x + (n << 2);
  while (x < wide) {
    v128.store(out, sixteenIntegers(x, inverses));
    out += 16;
    x += 64;
  }
  while (x < end) {
    store<i8>(out, <i8>toInteger(load<f32>(x), inverse));
    out += 1;
    x += 4;
  }
}

// @ts-ignore: decorator
@inline
function int8Rows(out: usize, coded: usize, rows: usize, length: usize, add: bool, weight: f32): void {
  const weights = f32x4.splat(weight);
  for (; rows > 0; rows--) {
    const scale = load<f32>(coded);
    coded += 4;
    const scales = f32x4.splat(scale);
    const wide = out + ((length & ~15) << 2);
    const end = out + (length << 2);
    while (out < wide) {
      putSixteen(out, v128.load(coded), scales, add, weights);
      coded += 16;
      out += 64;
    }
    while (out < end) {
      putOne(out, <f32>load<i8>(coded) * scale, add, weight);
      coded += 1;
      out += 4;
    }
  }
}

export function decodeInt8Rows(out: usize, coded: usize, rows: usize, length: usize): void {
  int8Rows(out, coded, rows, length, false, 1);
}

export function accumulateInt8Rows(out: usize, coded: usize, rows: usize, length: usize, weight: f32): void {
  int8Rows(out, coded, rows, length, true, weight);
}

// ---- int4: two values a byte, the first in the lower half

export function encodeInt4Rows(out: usize, x: usize, rows: usize, length: usize): void {
  const packedBytes = (length + 1) >> 1;
  for (; rows > 0; rows--) {
    const greatest = greatestMagnitude(x, length);
    const wide = x + ((length & ~15) << 2);
    const end = x + (length << 2);
    if (greatest > 0x7f7fffff) {
      spoil(out, 0x7f800000, packedBytes);
      out += 4 + packedBytes;
      x = end;
      continue;
    }
    const scale = integerScale(greatest, 7);
    const inverse: f32 = 1 / scale;
    const inverses = f32x4.splat(inverse);
    store<f32>(out, scale);
    out += 4;
    while (x < wide) {
      const halves = v128.and(sixteenIntegers(x, inverses), i8x16.splat(15));
      const pairs = v128.and(v128.or(halves, i16x8.shr_u(halves, 4)), i16x8.splat(0xff));
      store<i64>(out, i64x2.extract_lane(i8x16.narrow_i16x8_u(pairs, pairs), 0));
      out += 8;
      x += 64;
    }
    while (x < end) {
      let pair = toInteger(load<f32>(x), inverse) & 15;
      if (x + 4 < end) pair |= toInteger(load<f32>(x, 4), inverse) << 4;
      store<u8>(out, <u8>pair);
      out += 1;
      x += 8;
    }
    x = end;
  }
}

// @ts-ignore: decorator
@inline
function int4Rows(out: usize, coded: usize, rows: usize, length: usize, add: bool, weight: f32): void {
  const weights = f32x4.splat(weight);
  const eight = i8x16.splat(8);
  for (; rows > 0; rows--) {
    const scale = load<f32>(coded);
    coded += 4;
    const scales = f32x4.splat(scale);
    const wide = out + ((length & ~15) << 2);
    const end = out + (length << 2);
    while (out < wide) {
      const pairs = v128.load64_zero(coded);
      const low = v128.and(pairs, i8x16.splat(15));
      const high = i8x16.shr_u(pairs, 4);
      const halves = v128.shuffle<i8>(low, high, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
      putSixteen(out, i8x16.sub(v128.xor(halves, eight), eight), scales, add, weights);
      coded += 8;
      out += 64;
    }
    while (out < end) {
      const pair = <i32>load<u8>(coded);
      putOne(out, <f32>(((pair & 15) ^ 8) - 8) * scale, add, weight);
      if (out + 4 < end) putOne(out + 4, <f32>(((pair >> 4) ^ 8) - 8) * scale, add, weight);
      coded += 1;
      out += 8;
    }
    out = end;
  }
}

export function decodeInt4Rows(out: usize, coded: usize, rows: usize, length: usize): void {
  int4Rows(out, coded, rows, length, false, 1);
}

export function accumulateInt4Rows(out: usize, coded: usize, rows: usize, length: usize, weight: f32): void {
  int4Rows(out, coded, rows, length, true, weight);
}
