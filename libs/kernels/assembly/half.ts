// fp16 (IEEE 754 binary16) and bf16, both with round to nearest, ties to even. The fp16 conversions follow F. Giesen's
// branch-free ones ("float->half variants", 2012).

/** Four float32 as four fp16, each in the low half of its lane. */
// @ts-ignore: decorator
@inline
export function toFp16(x: v128): v128 {
  const sign = v128.and(x, i32x4.splat(0x80000000));
  const magnitude = v128.xor(x, sign);
  const isNaN = i32x4.gt_s(magnitude, i32x4.splat(0x7f800000));
  const special = v128.or(v128.and(isNaN, i32x4.splat(0x200)), i32x4.splat(0x7c00));
  // The ulp of 0.5 is 2^-24, fp16's smallest subnormal: the addition rounds, the subtraction removes the 0.5 again.
  const subnormal = i32x4.sub(f32x4.add(magnitude, f32x4.splat(0.5)), i32x4.splat(0x3f000000));
  // Rebias the exponent by −112 and round: half an ulp less one, plus one when the last kept bit is odd.
  const lastBit = i32x4.shr_s(i32x4.shl(magnitude, 18), 31);
  const rounded = i32x4.sub(i32x4.add(magnitude, i32x4.splat(<i32>0xc8000fff)), lastBit);
  const normal = i32x4.shr_u(rounded, 13);
  const isSubnormal = i32x4.gt_s(i32x4.splat(0x38800000), magnitude);
  const inRange = i32x4.gt_s(i32x4.splat(0x47800000), magnitude);
  const bits = v128.bitselect(v128.bitselect(subnormal, normal, isSubnormal), special, inRange);
  return v128.and(v128.or(bits, i32x4.shr_u(sign, 16)), i32x4.splat(0xffff));
}

/** Four fp16, zero-extended to 32 bits, as four float32. */
// @ts-ignore: decorator
@inline
export function fromFp16(h: v128): v128 {
  const magnitude = v128.and(h, i32x4.splat(0x7fff));
  const sign = i32x4.shl(v128.xor(h, magnitude), 16);
  const scaled = f32x4.mul(i32x4.shl(magnitude, 13), i32x4.splat(0x77800000)); // × 2^112
  const special = v128.and(i32x4.gt_s(magnitude, i32x4.splat(0x7bff)), i32x4.splat(0x7f800000));
  return v128.or(v128.or(scaled, special), sign);
}

/** Four float32 as four bf16, each in the low half of its lane; a NaN stays a (quiet) NaN. */
// @ts-ignore: decorator
@inline
function toBf16(x: v128): v128 {
  const high = i32x4.shr_u(x, 16);
  const bias = i32x4.add(i32x4.splat(0x7fff), v128.and(high, i32x4.splat(1)));
  const rounded = i32x4.shr_u(i32x4.add(x, bias), 16);
  return v128.bitselect(v128.or(high, i32x4.splat(0x40)), rounded, f32x4.ne(x, x));
}

// @ts-ignore: decorator
@inline
function fromBf16(h: v128): v128 {
  return i32x4.shl(h, 16);
}

/** out[i] = fp16(x[i]) */
export function encodeFp16(out: usize, x: usize, n: usize): void {
  const wide = x + ((n & ~7) << 2);
  const end = x + (n << 2);
  while (x < wide) {
    v128.store(out, i16x8.narrow_i32x4_u(toFp16(v128.load(x)), toFp16(v128.load(x, 16))));
    out += 16;
    x += 32;
  }
  while (x < end) {
    store<u16>(out, <u16>i32x4.extract_lane(toFp16(v128.load32_zero(x)), 0));
    out += 2;
    x += 4;
  }
}

/** out[i] = bf16(x[i]) */
export function encodeBf16(out: usize, x: usize, n: usize): void {
  const wide = x + ((n & ~7) << 2);
  const end = x + (n << 2);
  while (x < wide) {
    v128.store(out, i16x8.narrow_i32x4_u(toBf16(v128.load(x)), toBf16(v128.load(x, 16))));
    out += 16;
    x += 32;
  }
  while (x < end) {
    store<u16>(out, <u16>i32x4.extract_lane(toBf16(v128.load32_zero(x)), 0));
    out += 2;
    x += 4;
  }
}

/** out[i] = float32(halves[i]) */
export function decodeFp16(out: usize, halves: usize, n: usize): void {
  const wide = halves + ((n & ~7) << 1);
  const end = halves + (n << 1);
  while (halves < wide) {
    const h = v128.load(halves);
    v128.store(out, fromFp16(i32x4.extend_low_i16x8_u(h)));
    v128.store(out, fromFp16(i32x4.extend_high_i16x8_u(h)), 16);
    out += 32;
    halves += 16;
  }
  while (halves < end) {
    store<f32>(out, f32x4.extract_lane(fromFp16(i32x4.splat(load<u16>(halves))), 0));
    out += 4;
    halves += 2;
  }
}

/** out[i] = float32(halves[i]) */
export function decodeBf16(out: usize, halves: usize, n: usize): void {
  const wide = halves + ((n & ~7) << 1);
  const end = halves + (n << 1);
  while (halves < wide) {
    const h = v128.load(halves);
    v128.store(out, fromBf16(i32x4.extend_low_i16x8_u(h)));
    v128.store(out, fromBf16(i32x4.extend_high_i16x8_u(h)), 16);
    out += 32;
    halves += 16;
  }
  while (halves < end) {
    store<f32>(out, f32x4.extract_lane(fromBf16(i32x4.splat(load<u16>(halves))), 0));
    out += 4;
    halves += 2;
  }
}

/** accumulator[i] += weight · float32(halves[i]) */
export function accumulateFp16(accumulator: usize, halves: usize, n: usize, weight: f32): void {
  const w = f32x4.splat(weight);
  const wide = halves + ((n & ~7) << 1);
  const end = halves + (n << 1);
  while (halves < wide) {
    const h = v128.load(halves);
    const low = f32x4.mul(w, fromFp16(i32x4.extend_low_i16x8_u(h)));
    const high = f32x4.mul(w, fromFp16(i32x4.extend_high_i16x8_u(h)));
    v128.store(accumulator, f32x4.add(v128.load(accumulator), low));
    v128.store(accumulator, f32x4.add(v128.load(accumulator, 16), high), 16);
    accumulator += 32;
    halves += 16;
  }
  while (halves < end) {
    const value = f32x4.extract_lane(fromFp16(i32x4.splat(load<u16>(halves))), 0);
    store<f32>(accumulator, load<f32>(accumulator) + weight * value);
    accumulator += 4;
    halves += 2;
  }
}

/** accumulator[i] += weight · float32(halves[i]) */
export function accumulateBf16(accumulator: usize, halves: usize, n: usize, weight: f32): void {
  const w = f32x4.splat(weight);
  const wide = halves + ((n & ~7) << 1);
  const end = halves + (n << 1);
  while (halves < wide) {
    const h = v128.load(halves);
    const low = f32x4.mul(w, fromBf16(i32x4.extend_low_i16x8_u(h)));
    const high = f32x4.mul(w, fromBf16(i32x4.extend_high_i16x8_u(h)));
    v128.store(accumulator, f32x4.add(v128.load(accumulator), low));
    v128.store(accumulator, f32x4.add(v128.load(accumulator, 16), high), 16);
    accumulator += 32;
    halves += 16;
  }
  while (halves < end) {
    const value = f32x4.extract_lane(fromBf16(i32x4.splat(load<u16>(halves))), 0);
    store<f32>(accumulator, load<f32>(accumulator) + weight * value);
    accumulator += 4;
    halves += 2;
  }
}
