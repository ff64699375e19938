// Rows of int8: each row is a float32 scale and then its values as multiples of it, −127 to 127, ties to even.

/** The greatest |x| as its bits: without their sign, float32 order as integers do, NaN above infinity. */
// @ts-ignore: decorator
@inline
export function greatestMagnitude(x: usize, n: usize): i32 {
  const magnitude = i32x4.splat(0x7fffffff);
  let greatest = i32x4.splat(0);
  const wide = x + ((n & ~15) << 2);
  const end = x + (n << 2);
  while (x < wide) {
    const a = i32x4.max_s(v128.and(v128.load(x), magnitude), v128.and(v128.load(x, 16), magnitude));
    const b = i32x4.max_s(v128.and(v128.load(x, 32), magnitude), v128.and(v128.load(x, 48), magnitude));
    greatest = i32x4.max_s(greatest, i32x4.max_s(a, b));
    x += 64;
  }
  let result = max(
    max(i32x4.extract_lane(greatest, 0), i32x4.extract_lane(greatest, 1)),
    max(i32x4.extract_lane(greatest, 2), i32x4.extract_lane(greatest, 3)),
  );
  while (x < end) {
    result = max(result, load<i32>(x) & 0x7fffffff);
    x += 4;
  }
  return result;
}

/** x · inverse to the nearest integer: adding 1.5 · 2^23 leaves it in the low bits. */
// @ts-ignore: decorator
@inline
function toIntegers(x: v128, inverse: v128): v128 {
  return i32x4.sub(f32x4.add(f32x4.mul(x, inverse), f32x4.splat(12582912)), i32x4.splat(0x4b400000));
}

/** `out` gets rows · (4 + length) bytes. A row with a NaN or an infinity gets the scale infinity and zeros. */
export function encodeRows(out: usize, x: usize, rows: usize, length: usize): void {
  const wideLength = (length & ~15) << 2;
  const rowBytes = length << 2;
  for (; rows > 0; rows--) {
    const greatest = greatestMagnitude(x, length);
    if (greatest > 0x7f7fffff) {
      store<f32>(out, reinterpret<f32>(0x7f800000));
      memory.fill(out + 4, 0, length);
      out += 4 + length;
      x += rowBytes;
      continue;
    }
    const scale = max<f32>(reinterpret<f32>(greatest) / 127, reinterpret<f32>(0x00800000));
    const inverse: f32 = 1 / scale;
    store<f32>(out, scale);
    out += 4;
    const inverses = f32x4.splat(inverse);
    const wide = x + wideLength;
    const end = x + rowBytes;
    while (x < wide) {
      const a = i16x8.narrow_i32x4_s(toIntegers(v128.load(x), inverses), toIntegers(v128.load(x, 16), inverses));
      const b = i16x8.narrow_i32x4_s(toIntegers(v128.load(x, 32), inverses), toIntegers(v128.load(x, 48), inverses));
      v128.store(out, i8x16.narrow_i16x8_s(a, b));
      out += 16;
      x += 64;
    }
    while (x < end) {
      store<i8>(out, <i8>nearest<f32>(load<f32>(x) * inverse));
      out += 1;
      x += 4;
    }
  }
}

/** out[i] = scale · integer[i]; a scale of infinity makes NaN of every zero. */
export function decodeRows(out: usize, coded: usize, rows: usize, length: usize): void {
  const wideLength = (length & ~15) << 2;
  const rowBytes = length << 2;
  for (; rows > 0; rows--) {
    const scale = load<f32>(coded);
    coded += 4;
    const scales = f32x4.splat(scale);
    const wide = out + wideLength;
    const end = out + rowBytes;
    while (out < wide) {
      const integers = v128.load(coded);
      const a = i16x8.extend_low_i8x16_s(integers);
      const b = i16x8.extend_high_i8x16_s(integers);
      v128.store(out, f32x4.mul(f32x4.convert_i32x4_s(i32x4.extend_low_i16x8_s(a)), scales));
      v128.store(out, f32x4.mul(f32x4.convert_i32x4_s(i32x4.extend_high_i16x8_s(a)), scales), 16);
      v128.store(out, f32x4.mul(f32x4.convert_i32x4_s(i32x4.extend_low_i16x8_s(b)), scales), 32);
      v128.store(out, f32x4.mul(f32x4.convert_i32x4_s(i32x4.extend_high_i16x8_s(b)), scales), 48);
      coded += 16;
      out += 64;
    }
    while (out < end) {
      store<f32>(out, <f32>load<i8>(coded) * scale);
      coded += 1;
      out += 4;
    }
  }
}
