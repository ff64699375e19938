import type { FusedKernels } from './binding.js';

/**
 * Whether products go to an op of ours rather than to oneDNN, which hardly gains by a second thread (128 × 784 × 512 on
 * AVX-512: 0.50 ms against 0.59). A step of an MLP of such takes 2.3 ms with ours, 2.8 with oneDNN's. On one thread oneDNN is
 * 6 % ahead; on AVX2 nothing was measured.
 */
export function multipliesItself(fused: FusedKernels | undefined): boolean {
  return fused !== undefined && fused.instructions === 'avx512' && fused.threads > 1;
}

/** Columns of zeros to add to the factors of a product: `m` to the left one, `n` to the right one. */
export interface Padding {
  readonly m: number;
  readonly n: number;
}

/**
 * Zeros that make `a · b` (a [m, k], b [k, n]) or, with `transposed`, `aᵀ · b` (a [k, m]) faster. oneDNN's float32 product
 * on AVX2 takes small products (1/m + 1/n ≥ 0.0038) where they lie, instead of packing them into blocks. When the rows of
 * a factor are a multiple of 1 KiB apart, all of a column falls into the same few lines of the cache: 40 GFLOP/s where 75
 * are had (aᵀ · b with k = 1024, m = 256, n = 1024). Sixteen more columns, a line of the cache, put the rows out of step;
 * a few more of `m` can be enough to reach the code that packs. Measured: 13 ms against 7.5 for the product above, 1.2
 * against 0.95 for 128 × 512 × 512.
 */
export function productPadding(m: number, k: number, n: number, transposed: boolean): Padding {
  const none = { m: 0, n: 0 };
  if (m * k * n < SMALL_PRODUCT || 1 / m + 1 / n < PACKED) return none;
  const packedM = Math.ceil(1 / (PACKED - 1 / n) / 16) * 16;
  if (transposed && packedM > m && packedM <= m * 1.125) return { m: packedM - m, n: 0 };
  if (aliases(n) && k >= CACHED_ROWS) return { m: 0, n: 16 };
  if (transposed && m > n && aliases(m)) return { m: 16, n: 0 };
  return none;
}

/** `FORCE_NOCOPY_THRESH` of oneDNN's gemm_driver.cpp. */
const PACKED = 0.0038;
/** Multiplications below which the padding costs more than it saves. */
const SMALL_PRODUCT = 2 ** 23;
/** Fewer rows, 2 KiB apart, still find room in the second cache. */
const CACHED_ROWS = 512;

function aliases(columns: number): boolean {
  return columns >= 512 && columns % 256 === 0;
}
