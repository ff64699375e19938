// Element-wise kernels and reductions over float32 vectors. Pointers are byte addresses, n counts values; any n and
// any alignment is allowed. Main loops take 16 values (64 bytes, one cache line) a turn, a scalar loop takes the rest:
// lanes and scalars round alike, so where a value falls changes nothing.

/** out = factor · x */
export function scaleInto(out: usize, x: usize, n: usize, factor: f32): void {
  const f = f32x4.splat(factor);
  const wide = x + ((n & ~15) << 2);
  const end = x + (n << 2);
  while (x < wide) {
    v128.store(out, f32x4.mul(f, v128.load(x)));
    v128.store(out, f32x4.mul(f, v128.load(x, 16)), 16);
    v128.store(out, f32x4.mul(f, v128.load(x, 32)), 32);
    v128.store(out, f32x4.mul(f, v128.load(x, 48)), 48);
    out += 64;
    x += 64;
  }
  while (x < end) {
    store<f32>(out, factor * load<f32>(x));
    out += 4;
    x += 4;
  }
}

/** accumulator += weight · x */
export function accumulate(accumulator: usize, x: usize, n: usize, weight: f32): void {
  const w = f32x4.splat(weight);
  const wide = x + ((n & ~15) << 2);
  const end = x + (n << 2);
  while (x < wide) {
    v128.store(accumulator, f32x4.add(v128.load(accumulator), f32x4.mul(w, v128.load(x))));
    v128.store(accumulator, f32x4.add(v128.load(accumulator, 16), f32x4.mul(w, v128.load(x, 16))), 16);
    v128.store(accumulator, f32x4.add(v128.load(accumulator, 32), f32x4.mul(w, v128.load(x, 32))), 32);
    v128.store(accumulator, f32x4.add(v128.load(accumulator, 48), f32x4.mul(w, v128.load(x, 48))), 48);
    accumulator += 64;
    x += 64;
  }
  while (x < end) {
    store<f32>(accumulator, load<f32>(accumulator) + weight * load<f32>(x));
    accumulator += 4;
    x += 4;
  }
}

/** out = a − b */
export function subtract(out: usize, a: usize, b: usize, n: usize): void {
  const wide = a + ((n & ~15) << 2);
  const end = a + (n << 2);
  while (a < wide) {
    v128.store(out, f32x4.sub(v128.load(a), v128.load(b)));
    v128.store(out, f32x4.sub(v128.load(a, 16), v128.load(b, 16)), 16);
    v128.store(out, f32x4.sub(v128.load(a, 32), v128.load(b, 32)), 32);
    v128.store(out, f32x4.sub(v128.load(a, 48), v128.load(b, 48)), 48);
    out += 64;
    a += 64;
    b += 64;
  }
  while (a < end) {
    store<f32>(out, load<f32>(a) - load<f32>(b));
    out += 4;
    a += 4;
    b += 4;
  }
}

// @ts-ignore: decorator
@inline
function product(a: usize, b: usize): v128 {
  return f64x2.mul(f64x2.promote_low_f32x4(v128.load64_zero(a)), f64x2.promote_low_f32x4(v128.load64_zero(b)));
}

/**
 * Σ a·b in float64. Value i of each whole group of eight goes to lane i mod 8, the lanes are added pairwise, and the
 * up to seven values after the last group are added one by one: an order that depends on n alone.
 */
export function dot(a: usize, b: usize, n: usize): f64 {
  let s01 = f64x2.splat(0);
  let s23 = s01;
  let s45 = s01;
  let s67 = s01;
  const wide = a + ((n & ~7) << 2);
  const end = a + (n << 2);
  while (a < wide) {
    s01 = f64x2.add(s01, product(a, b));
    s23 = f64x2.add(s23, product(a + 8, b + 8));
    s45 = f64x2.add(s45, product(a + 16, b + 16));
    s67 = f64x2.add(s67, product(a + 24, b + 24));
    a += 32;
    b += 32;
  }
  const lanes = f64x2.add(f64x2.add(s01, s23), f64x2.add(s45, s67));
  let sum = f64x2.extract_lane(lanes, 0) + f64x2.extract_lane(lanes, 1);
  while (a < end) {
    sum += <f64>load<f32>(a) * <f64>load<f32>(b);
    a += 4;
    b += 4;
  }
  return sum;
}

// @ts-ignore: decorator
@inline
function square(x: usize): v128 {
  const value = f64x2.promote_low_f32x4(v128.load64_zero(x));
  return f64x2.mul(value, value);
}

/** The bits of `dot(x, x, n)`, each value read and widened once. */
export function sumOfSquares(x: usize, n: usize): f64 {
  let s01 = f64x2.splat(0);
  let s23 = s01;
  let s45 = s01;
  let s67 = s01;
  const wide = x + ((n & ~7) << 2);
  const end = x + (n << 2);
  while (x < wide) {
    s01 = f64x2.add(s01, square(x));
    s23 = f64x2.add(s23, square(x + 8));
    s45 = f64x2.add(s45, square(x + 16));
    s67 = f64x2.add(s67, square(x + 24));
    x += 32;
  }
  const lanes = f64x2.add(f64x2.add(s01, s23), f64x2.add(s45, s67));
  let sum = f64x2.extract_lane(lanes, 0) + f64x2.extract_lane(lanes, 1);
  while (x < end) {
    sum += <f64>load<f32>(x) * <f64>load<f32>(x);
    x += 4;
  }
  return sum;
}
