// What rows have in common (libs/kernels/src/kernels.ts, RowKernels): four bytes of scale, then the values.

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

/** value, or accumulator + weight · value */
// @ts-ignore: decorator
@inline
export function put(out: usize, value: v128, add: bool, weights: v128): void {
  v128.store(out, add ? f32x4.add(v128.load(out), f32x4.mul(weights, value)) : value);
}

// @ts-ignore: decorator
@inline
export function putOne(out: usize, value: f32, add: bool, weight: f32): void {
  store<f32>(out, add ? load<f32>(out) + weight * value : value);
}

/** A row with a NaN or an infinity decodes to values that are not finite, whatever its format. */
// @ts-ignore: decorator
@inline
export function spoil(out: usize, header: i32, bytes: usize): void {
  store<i32>(out, header);
  memory.fill(out + 4, 0, bytes);
}
