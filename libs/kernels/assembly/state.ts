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

/**
 * `out` gets blocks · (4 + length) bytes. `buckets` gives the lowest code of the values that share sign, exponent and seven
 * bits of significand, `borders` (float32) where the next code begins: no bucket has more than one border. A block with a
 * NaN or an infinity gets the scale infinity.
 */
export function encodeState(
  out: usize, x: usize, blocks: usize, length: usize, buckets: usize, borders: usize, leastOfPositive: i32,
): void {
  for (; blocks > 0; blocks--) {
    const greatest = greatestMagnitude(x, length);
    const magnitude = reinterpret<f32>(min(greatest, 0x7f800000));
    const end = x + (length << 2);
    if (greatest == 0 || greatest >= 0x7f800000) {
      store<f32>(out, magnitude);
      memory.fill(out + 4, 0, length);
      out += 4 + length;
      x = end;
      continue;
    }
    const scale = isReached(x, length, magnitude) ? magnitude : -magnitude;
    store<f32>(out, scale);
    out += 4;
    while (x < end) {
      const value = load<f32>(x);
      const part = value / scale;
      const bits = reinterpret<u32>(part) >>> 16;
      let code = <i32>load<u8>(buckets + ((bits & 0x3fff) | ((bits >>> 1) & 0x4000)));
      code += i32(part > load<f32>(borders + (code << 2)));
      store<u8>(out, <u8>max(code, value > 0 ? leastOfPositive : 0));
      out += 1;
      x += 4;
    }
  }
}

/** out[i] = scale · values[code[i]] */
export function decodeState(out: usize, coded: usize, blocks: usize, length: usize, values: usize): void {
  for (; blocks > 0; blocks--) {
    const scale = load<f32>(coded);
    coded += 4;
    const end = out + (length << 2);
    while (out < end) {
      store<f32>(out, load<f32>(values + (<usize>load<u8>(coded) << 2)) * scale);
      coded += 1;
      out += 4;
    }
  }
}
