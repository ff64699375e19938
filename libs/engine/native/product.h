// A small matrix product from registers: C [M, N] (+)= A · B where B's rows are contiguous and A is read value by value, so
// that either may lie in any order. For the factors of an attention head, which stay in the caches.
#pragma once
#include "simd.h"

namespace {

struct Factor {
  const float *data;
  /** Distance of its rows and of its columns. */
  int64_t row, column;
};

#if defined(__AVX512F__)
constexpr int kRows = 8, kVectors = 2;  // 16 of 32 registers add up
#elif defined(__AVX2__)
constexpr int kRows = 4, kVectors = 2;  // 8 of 16
#else
constexpr int kRows = 4, kVectors = 2;
#endif

template <int Rows, int Vectors, typename Extent>
LONGTAIL_INLINE void tile(Factor a, const float *b, int64_t b_row, float *c, int64_t c_row, int64_t depth, bool add, Extent extent) {
  Floats sums[Rows][Vectors] = {};
  for (int64_t p = 0; p < depth; p++) {
    Floats line[Vectors];
#pragma GCC unroll 8
    for (int j = 0; j < Vectors; j++) line[j] = load(b + p * b_row + j * kWidth, extent);
#pragma GCC unroll 8
    for (int i = 0; i < Rows; i++) {
      const Floats factor = all(a.data[i * a.row + p * a.column]);
#pragma GCC unroll 8
      for (int j = 0; j < Vectors; j++) sums[i][j] += factor * line[j];
    }
  }
#pragma GCC unroll 8
  for (int i = 0; i < Rows; i++) {
#pragma GCC unroll 8
    for (int j = 0; j < Vectors; j++) {
      float *to = c + i * c_row + j * kWidth;
      store(to, add ? load(to, extent) + sums[i][j] : sums[i][j], extent);
    }
  }
}

template <int Rows>
void rows(Factor a, const float *b, int64_t b_row, float *c, int64_t c_row, int64_t columns, int64_t depth, bool add) {
  int64_t j = 0;
  for (; j + kVectors * kWidth <= columns; j += kVectors * kWidth)
    tile<Rows, kVectors>(a, b + j, b_row, c + j, c_row, depth, add, Whole{});
  for (; j + kWidth <= columns; j += kWidth) tile<Rows, 1>(a, b + j, b_row, c + j, c_row, depth, add, Whole{});
  if (j < columns) tile<Rows, 1>(a, b + j, b_row, c + j, c_row, depth, add, Part{columns - j});
}

void product(Factor a, const float *b, int64_t b_row, float *c, int64_t c_row, int64_t m, int64_t columns, int64_t depth, bool add) {
  int64_t i = 0;
  const auto at = [&](int64_t row) { return Factor{a.data + row * a.row, a.row, a.column}; };
  for (; i + kRows <= m; i += kRows) rows<kRows>(at(i), b, b_row, c + i * c_row, c_row, columns, depth, add);
  for (; i + 2 <= m; i += 2) rows<2>(at(i), b, b_row, c + i * c_row, c_row, columns, depth, add);
  for (; i < m; i++) rows<1>(at(i), b, b_row, c + i * c_row, c_row, columns, depth, add);
}

}  // namespace
