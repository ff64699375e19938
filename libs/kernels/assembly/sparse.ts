// The greatest magnitudes of each block of up to 4096 values and where they are. A block is
//   u16: 13 bits of count k, 3 bits of the format of the values; nothing follows when k is 0;
//   four bytes of scale, as rows have them;
//   the indices after Elias and Fano: with l = ⌊log2(n / k)⌋ a bit vector in which index i sets bit (index >> l) + i, then
//   the low l bits of each: about 2 + log2(n / k) bits an index, and a size that follows from n and k alone;
//   the values: binary16, int8, or planes of signs and levels.
import { encodeInt8, integerScale } from './integer-rows';
import { encodeInt2 } from './level-rows';
import { fromFp16, toFp16 } from './half';
import { greatestMagnitude } from './rows';

const BLOCK: u32 = 4096;
const FP16: u32 = 0;
const INT8: u32 = 1;

/** How many magnitudes, as their bits, are at least `least`. */
function countAtLeast(x: usize, n: usize, least: i32): i32 {
  const magnitude = i32x4.splat(0x7fffffff);
  const border = i32x4.splat(least);
  let a = i32x4.splat(0);
  let b = a;
  const wide = x + ((n & ~15) << 2);
  const end = x + (n << 2);
  while (x < wide) {
    a = i32x4.sub(a, i32x4.ge_s(v128.and(v128.load(x), magnitude), border));
    b = i32x4.sub(b, i32x4.ge_s(v128.and(v128.load(x, 16), magnitude), border));
    a = i32x4.sub(a, i32x4.ge_s(v128.and(v128.load(x, 32), magnitude), border));
    b = i32x4.sub(b, i32x4.ge_s(v128.and(v128.load(x, 48), magnitude), border));
    x += 64;
  }
  a = i32x4.add(a, b);
  let count = i32x4.extract_lane(a, 0) + i32x4.extract_lane(a, 1) + i32x4.extract_lane(a, 2) + i32x4.extract_lane(a, 3);
  while (x < end) {
    count += i32((load<i32>(x) & 0x7fffffff) >= least);
    x += 4;
  }
  return count;
}

/**
 * Bits that k of the magnitudes reach, or, of equal ones, more than k and fewer than k exceed; 1, the least one above 0, where
 * no more than k are not 0. `tight`: the greatest such bits. Bisects with one pass of comparisons a step: faster than
 * histograms while the block is in L1.
 */
function rankBorder(x: usize, n: usize, k: i32, tight: bool): i32 {
  let low = 1;
  if (countAtLeast(x, n, low) <= k - i32(tight)) return low;
  let high = greatestMagnitude(x, n);
  while (low < high) {
    const middle = low + ((high - low + 1) >>> 1);
    const count = countAtLeast(x, n, middle);
    if (count == k && !tight) return middle;
    if (count >= k) low = middle;
    else high = middle - 1;
  }
  return low;
}

/** Bits of the k-th greatest magnitude; 1, the least one above 0, where fewer are not 0. */
export function magnitudeOfRank(x: usize, n: usize, k: i32): i32 {
  return rankBorder(x, n, k, true);
}

/** Copies what is at least `least` to `values`, its places to `indices`; of those equal to `least` the first `ties`. Returns the count. */
function gather(x: usize, n: usize, least: i32, ties: i32, values: usize, indices: usize): u32 {
  const magnitude = i32x4.splat(0x7fffffff);
  const border = i32x4.splat(least);
  let count: u32 = 0;
  for (let at: usize = 0; at < n; at += 4) {
    let mask = 0;
    if (n - at >= 4) mask = i32x4.bitmask(i32x4.ge_s(v128.and(v128.load(x + (at << 2)), magnitude), border));
    else for (let i = at; i < n; i++) mask |= i32((load<i32>(x + (i << 2)) & 0x7fffffff) >= least) << <i32>(i - at);
    while (mask != 0) {
      const index = at + <usize>ctz(mask);
      mask &= mask - 1;
      const bits = load<i32>(x + (index << 2));
      if ((bits & 0x7fffffff) == least && ties-- <= 0) continue;
      store<i32>(values + (<usize>count << 2), bits);
      store<u16>(indices + (<usize>count << 1), <u16>index);
      count++;
    }
  }
  return count;
}

/** ⌊log2(n / k)⌋ */
// @ts-ignore: decorator
@inline
function lowBits(n: u32, k: u32): u32 {
  return 31 - clz(n / k);
}

// @ts-ignore: decorator
@inline
function upperBytes(n: u32, k: u32): u32 {
  return (k + ((n - 1) >> lowBits(n, k)) + 7) >> 3;
}

// @ts-ignore: decorator
@inline
function lowerBytes(n: u32, k: u32): u32 {
  return (k * lowBits(n, k) + 7) >> 3;
}

/** Returns the bytes written. */
function encodeIndices(out: usize, indices: usize, n: u32, k: u32): usize {
  const low = lowBits(n, k);
  const upper = upperBytes(n, k);
  memory.fill(out, 0, upper);
  let lower = out + upper;
  let pending: u32 = 0;
  let pendingBits: u32 = 0;
  for (let i: u32 = 0; i < k; i++) {
    const index = <u32>load<u16>(indices + (<usize>i << 1));
    const bit = (index >>> low) + i;
    const at = out + (bit >>> 3);
    store<u8>(at, <u8>(<u32>load<u8>(at) | (<u32>1 << (bit & 7))));
    pending |= (index & ((1 << low) - 1)) << pendingBits;
    pendingBits += low;
    while (pendingBits >= 8) {
      store<u8>(lower++, <u8>pending);
      pending >>>= 8;
      pendingBits -= 8;
    }
  }
  if (pendingBits > 0) store<u8>(lower++, <u8>pending);
  return lower - out;
}

/** The power of two at or below the greatest magnitude, at least 2^-126: dividing by it and multiplying again is exact. */
// @ts-ignore: decorator
@inline
function binaryScale(greatest: i32): f32 {
  return reinterpret<f32>(max(greatest & 0x7f800000, 0x00800000));
}

function encodeFp16(out: usize, x: usize, n: usize, inverse: f32): void {
  for (let i: usize = 0; i < n; i++) {
    const half = toFp16(f32x4.splat(load<f32>(x + (i << 2)) * inverse));
    store<u16>(out + (i << 1), <u16>i32x4.extract_lane(half, 0));
  }
}

/** Header, indices and values of a block; `scale` overlaps the values of int2, which bring their own. Returns the bytes written. */
function writeBlock(out: usize, n: u32, k: u32, format: u32, values: usize, indices: usize, greatest: i32): usize {
  store<u16>(out, <u16>(k | (format << 13)));
  if (k == 0) return 2;
  const places = out + 6;
  const at = places + encodeIndices(places, indices, n, k);
  if (format == FP16) {
    const scale = binaryScale(greatest);
    store<f32>(out, scale, 2);
    encodeFp16(at, values, k, 1 / scale);
    return at + (k << 1) - out;
  }
  if (format == INT8) {
    const scale = integerScale(greatest, 127);
    store<f32>(out, scale, 2);
    encodeInt8(at, values, k, 1 / scale);
    return at + k - out;
  }
  // Levels and planes are written in one piece; the levels then move to where scales are.
  encodeInt2(at, values, k);
  store<u32>(out, load<u32>(at), 2);
  const planes = ((k + 7) >> 3) << 1;
  memory.copy(at, at + 4, planes);
  return at + planes - out;
}

/**
 * Codes n values in blocks. Of each it keeps those whose magnitude's bits are at least `least`, where that is above 0 and no
 * more than `most` a whole block, else the `keep` greatest ones a whole block, ⌈keep · n / 4096⌉ of a shorter one; never
 * zeros. `scratch` has room for 4096 values and indices. Returns the bytes written, −1 when a value is not finite.
 */
export function encodeSparse(
  out: usize, x: usize, n: u32, format: u32, keep: u32, least: i32, most: u32, scratch: usize,
): i32 {
  const start = out;
  const indices = scratch + (BLOCK << 2);
  while (n > 0) {
    const length = min(n, BLOCK);
    const greatest = greatestMagnitude(x, length);
    if (greatest > 0x7f7fffff) return -1;
    let limit = (keep * length + BLOCK - 1) / BLOCK;
    let border = least;
    let within = false;
    if (least > 0) {
      limit = (most * length + BLOCK - 1) / BLOCK;
      within = <u32>countAtLeast(x, length, least) <= limit;
    }
    if (!within) border = rankBorder(x, length, limit, false);
    const ties = <i32>limit - countAtLeast(x, length, border + 1);
    const k = gather(x, length, border, ties, scratch, indices);
    out += writeBlock(out, length, k, format, scratch, indices, greatest);
    x += <usize>length << 2;
    n -= length;
  }
  return <i32>(out - start);
}

/** Value i of a block's values at `coded`. */
// @ts-ignore: decorator
@inline
function valueAt(coded: usize, i: u32, k: u32, format: u32, scale: u32): f32 {
  if (format == FP16) {
    const half = i32x4.splat(<i32>load<u16>(coded + (<usize>i << 1)));
    return f32x4.extract_lane(fromFp16(half), 0) * reinterpret<f32>(scale);
  }
  if (format == INT8) return <f32>load<i8>(coded + i) * reinterpret<f32>(scale);
  const byte = coded + (i >>> 3);
  const bit = i & 7;
  const isHigh = (<u32>load<u8>(byte + ((k + 7) >>> 3)) >>> bit) & 1;
  const magnitude = isHigh ? scale & 0xffff0000 : scale << 16;
  return reinterpret<f32>(magnitude | (((<u32>load<u8>(byte) >>> bit) & 1) << 31));
}

/**
 * Adds weight · value to `out`, or writes the values among zeros. Sizes and counts are checked before (checkSparse in
 * libs/kernels/src/sparse.ts); returns the number, from 1, of the first block whose indices are no k increasing ones below n, else 0.
 */
// @ts-ignore: decorator
@inline
function scatter(out: usize, coded: usize, n: u32, add: bool, weight: f32): i32 {
  for (let block = 1; n > 0; block++) {
    const length = min(n, BLOCK);
    const head = <u32>load<u16>(coded);
    const k = head & 0x1fff;
    const format = head >>> 13;
    if (!add) memory.fill(out, 0, <usize>length << 2);
    if (k == 0) {
      coded += 2;
    } else {
      const scale = load<u32>(coded, 2);
      const low = lowBits(length, k);
      const upper = coded + 6;
      const upperEnd = upperBytes(length, k) << 3;
      const lower = upper + upperBytes(length, k);
      const values = lower + lowerBytes(length, k);
      let bit: u32 = 0;
      let previous = -1;
      for (let i: u32 = 0; i < k; i++) {
        while (bit < upperEnd) {
          const ahead = <u32>load<u8>(upper + (bit >>> 3)) >>> (bit & 7);
          if (ahead != 0) {
            bit += ctz(ahead);
            break;
          }
          bit = (bit | 7) + 1;
        }
        if (bit >= upperEnd) return block;
        const lowAt = i * low;
        const lowPart = (load<u32>(lower + (lowAt >>> 3)) >>> (lowAt & 7)) & ((1 << low) - 1);
        const index = <i32>(((bit - i) << low) | lowPart);
        if (index <= previous || <u32>index >= length) return block;
        previous = index;
        bit++;
        const at = out + (<usize>index << 2);
        const value = valueAt(values, i, k, format, scale);
        store<f32>(at, add ? load<f32>(at) + weight * value : value);
      }
      while (bit < upperEnd) {
        if (<u32>load<u8>(upper + (bit >>> 3)) >>> (bit & 7)) return block;
        bit = (bit | 7) + 1;
      }
      coded = values + (format == FP16 ? k << 1 : format == INT8 ? k : ((k + 7) >>> 3) << 1);
    }
    out += <usize>length << 2;
    n -= length;
  }
  return 0;
}

export function decodeSparse(out: usize, coded: usize, n: u32): i32 {
  return scatter(out, coded, n, false, 1);
}

export function accumulateSparse(out: usize, coded: usize, n: u32, weight: f32): i32 {
  return scatter(out, coded, n, true, weight);
}
