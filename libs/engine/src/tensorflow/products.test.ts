import fc from 'fast-check';
import { expect, test } from 'vitest';
import { multipliesItself, productPadding } from './products.js';

test('products are our own where they were measured to gain', () => {
  expect(multipliesItself({ instructions: 'avx512', threads: 2 })).toBe(true);
  expect(multipliesItself({ instructions: 'avx512', threads: 1 })).toBe(false);
  expect(multipliesItself({ instructions: 'avx2', threads: 2 })).toBe(false);
  expect(multipliesItself(undefined)).toBe(false);
});

test('rows in step with the cache are put out of step', () => {
  expect(productPadding(256, 1024, 1024, true)).toEqual({ m: 0, n: 16 });
  expect(productPadding(1024, 1024, 256, true)).toEqual({ m: 16, n: 0 });
  expect(productPadding(256, 1024, 768, true)).toEqual({ m: 0, n: 16 });
  expect(productPadding(128, 784, 512, false)).toEqual({ m: 0, n: 16 });
});

test('a little more of m reaches the packed product', () => {
  expect(productPadding(256, 1024, 4096, true)).toEqual({ m: 32, n: 0 });
  expect(productPadding(512, 128, 512, true)).toEqual({ m: 32, n: 0 });
});

test('what is small, packed anyway or in no step is left alone', () => {
  expect(productPadding(128, 64, 10, true)).toEqual({ m: 0, n: 0 });
  expect(productPadding(1024, 1024, 1024, true)).toEqual({ m: 0, n: 0 });
  expect(productPadding(256, 1024, 800, true)).toEqual({ m: 0, n: 0 });
  expect(productPadding(1024, 256, 1024, false)).toEqual({ m: 0, n: 0 });
});

test('pads one factor at most, by an eighth at most', () => {
  const extent = fc.integer({ min: 1, max: 8192 });
  fc.assert(
    fc.property(extent, extent, extent, fc.boolean(), (m, k, n, transposed) => {
      const padding = productPadding(m, k, n, transposed);
      expect(Math.min(padding.m, padding.n)).toBe(0);
      expect(padding.m).toBeLessThanOrEqual(Math.max(16, m / 8));
      expect(padding.n).toBeLessThanOrEqual(16);
    }),
  );
});
