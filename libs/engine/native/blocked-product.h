// The product of two matrices from memory: blocks are copied so that they lie in the order in which they are read, and in
// the caches (Goto and van de Geijn 2008, Anatomy of High-Performance Matrix Multiplication).
#pragma once
#include "kernels.h"
#include "simd.h"

namespace {

#if defined(__AVX512F__)
constexpr int kTileRows = 14;  // 28 of 32 registers add up
#elif defined(__AVX2__)
constexpr int kTileRows = 6;  // 12 of 16
#else
constexpr int kTileRows = 4;
#endif
constexpr int kTileColumns = 2 * kWidth;

/** Of a block: a tile's columns of `b` fit into the first cache, the rows of `a` into the second. */
constexpr int64_t kBlockDepth = 256, kBlockTiles = 18, kBlockRows = kBlockTiles * kTileRows;
/** Distance of the rows of a block of `a`: no multiple of a page, or they all fall into the same lines of the cache. */
constexpr int64_t kRowDistance = kBlockDepth + 16;
/** Where it is copied by columns instead, distance of a tile's: a whole number of vectors. */
constexpr int64_t kColumnDistance = (kTileRows + kWidth - 1) / kWidth * kWidth;

constexpr int64_t block_size() {
  const int64_t by_rows = kBlockRows * kRowDistance, by_columns = kBlockTiles * kBlockDepth * kColumnDistance;
  return by_rows > by_columns ? by_rows : by_columns;
}

int64_t multiply_scratch() { return block_size() + kBlockDepth * kTileColumns; }

/** Sums that a tile adds between two looks ahead: all at once, they would keep its factors waiting. */
constexpr int64_t kPace = 8;

/** Memory that is read next, by `lines` of `pieces`; it is asked for a piece at a time. A piece is as wide as a tile. */
struct Ahead {
  const float *from;
  int64_t line_distance, pieces, lines, done = 0;

  void next() {
    if (done == pieces * lines) return;
    const float *piece = from + done / pieces * line_distance + done % pieces * kTileColumns;
    done++;
    __builtin_prefetch(piece, 0, 2);
    __builtin_prefetch(piece + kWidth, 0, 2);
  }
};

/** c (+)= a · b, where b is [depth, kTileColumns] and a's values lie `Row` and `Column` apart. */
template <int Rows, int64_t Row, int64_t Column>
void block_tile(const float *a, const float *b, float *c, int64_t c_row, int64_t columns, int64_t depth, bool add, Ahead &ahead) {
  Floats sums[Rows][2] = {};
  const auto multiply = [&](int64_t from, int64_t to) {
    for (int64_t p = from; p < to; p++, a += Column, b += kTileColumns) {
      const Floats left = load(b), right = load(b + kWidth);
#pragma GCC unroll 16
      for (int i = 0; i < Rows; i++) {
        const Floats factor = all(a[i * Row]);
        sums[i][0] += factor * left;
        sums[i][1] += factor * right;
      }
    }
  };
  int64_t done = 0;
  for (int i = 0; done + kPace <= depth; i++, done += kPace) {
    if (i < Rows) {
      __builtin_prefetch(c + i * c_row, 1);
      __builtin_prefetch(c + i * c_row + kWidth, 1);
    }
    ahead.next();
    multiply(done, done + kPace);
  }
  multiply(done, depth);
  const auto write = [&](auto left, auto right) {
#pragma GCC unroll 16
    for (int i = 0; i < Rows; i++) {
      float *to = c + i * c_row;
      store(to, add ? load(to, left) + sums[i][0] : sums[i][0], left);
      store(to + kWidth, add ? load(to + kWidth, right) + sums[i][1] : sums[i][1], right);
    }
  };
  if (columns == kTileColumns) write(Whole{}, Whole{});
  else write(Part{columns < kWidth ? columns : kWidth}, Part{columns < kWidth ? 0 : columns - kWidth});
}

using BlockTile = void (*)(const float *a, const float *b, float *c, int64_t c_row, int64_t columns, int64_t depth, bool add, Ahead &ahead);

/** Tiles of 1 to kTileRows rows: 128 rows are ten of 13 or 12 rather than nine of 14 and one of 2. */
template <int64_t Row, int64_t Column, int Rows = kTileRows>
BlockTile tile_of(int64_t rows) {
  if constexpr (Rows > 1) {
    if (rows < Rows) return tile_of<Row, Column, Rows - 1>(rows);
  }
  return block_tile<Rows, Row, Column>;
}

template <int Step, int... Lane>
LONGTAIL_INLINE void exchange(Floats &a, Floats &b, std::integer_sequence<int, Lane...>) {
#if defined(__clang__)
  const Floats low = __builtin_shufflevector(a, b, (Lane & Step ? kWidth + Lane - Step : Lane)...);
  b = __builtin_shufflevector(a, b, (Lane & Step ? kWidth + Lane : Lane + Step)...);
#else
  const Floats low = __builtin_shuffle(a, b, Ints{(Lane & Step ? kWidth + Lane - Step : Lane)...});
  b = __builtin_shuffle(a, b, Ints{(Lane & Step ? kWidth + Lane : Lane + Step)...});
#endif
  a = low;
}

/** A square of kWidth rows becomes its columns. */
template <int Step = kWidth / 2>
LONGTAIL_INLINE void transpose_square(Floats (&rows)[kWidth]) {
#pragma GCC unroll 16
  for (int i = 0; i < kWidth; i++)
    if ((i & Step) == 0) exchange<Step>(rows[i], rows[i + Step], std::make_integer_sequence<int, kWidth>{});
  if constexpr (Step > 1) transpose_square<Step / 2>(rows);
}

/** Columns of b side by side, zeros where there are none. `b_column` 1: as they lie; else `b_row` is 1. */
void pack_columns(const float *b, int64_t b_row, int64_t b_column, int64_t depth, int64_t columns, float *to) {
  if (b_column == 1) {
    for (int64_t p = 0; p < depth; p++, b += b_row, to += kTileColumns) {
      if (columns == kTileColumns) {
        store(to, load(b));
        store(to + kWidth, load(b + kWidth));
      } else {
        for (int64_t j = 0; j < kTileColumns; j++) to[j] = j < columns ? b[j] : 0;
      }
    }
    return;
  }
  for (int64_t half = 0; half < kTileColumns; half += kWidth) {
    sweep(depth, [&](int64_t p, auto extent) {
      Floats square[kWidth];
#pragma GCC unroll 16
      for (int j = 0; j < kWidth; j++) square[j] = half + j < columns ? load(b + (half + j) * b_column + p, extent) : Floats{};
      transpose_square(square);
      const int64_t some = depth - p < kWidth ? depth - p : kWidth;
      for (int64_t i = 0; i < some; i++) store(to + (p + i) * kTileColumns + half, square[i]);
    });
  }
}

/** Rows of a, whose `a_row` is 1, by tiles of `step` rows and in them by columns. */
void pack_rows(const float *a, int64_t a_column, int64_t rows, int64_t step, int64_t depth, float *to) {
  for (int64_t p = 0; p < depth; p++, a += a_column, to += kColumnDistance) {
    float *column = to;
    int64_t i = 0;
    // More than the tile has, where so much may be read: the compiler knows how many to copy.
    for (; i + kColumnDistance <= rows; i += step, column += kColumnDistance * kBlockDepth)
      for (int64_t j = 0; j < kColumnDistance; j += kWidth) store(column + j, load(a + i + j));
    for (; i < rows; i += step, column += kColumnDistance * kBlockDepth)
      for (int64_t j = i; j < rows && j < i + step; j++) column[j - i] = a[j];
  }
}

template <int64_t Row, int64_t Column>
void block_columns(const float *a, const float *b, float *c, int64_t c_row, int64_t rows, int64_t step, int64_t columns,
                   int64_t depth, bool add, Ahead &ahead) {
  for (int64_t i = 0; i < rows; i += step) {
    const int64_t some = rows - i < step ? rows - i : step;
    tile_of<Row, Column>(some)(a + (Row == 1 ? i / step * kColumnDistance * kBlockDepth : i * Row), b, c + i * c_row, c_row, columns, depth, add, ahead);
  }
}

/** For columns of b that are packed next, if there are any. */
Ahead ahead_of(const longtail::Product &x, const float *columns, int64_t depth, bool any) {
  if (!any) return {columns, 0, 1, 0};
  if (x.b_column == 1) return {columns, x.b_row, 1, depth};
  return {columns, x.b_column, (depth + kTileColumns - 1) / kTileColumns, kTileColumns};
}

/** Rows and columns of c = a · b. Either factor is contiguous one way or the other. */
void multiply(const longtail::Product &x, int64_t row, int64_t rows, int64_t column, int64_t columns, float *scratch) {
  float *block = scratch, *panel = scratch + block_size();
  const int64_t blocks = (rows + kBlockRows - 1) / kBlockRows, depths = x.depth > kBlockDepth ? (x.depth + kBlockDepth - 1) / kBlockDepth : 1;
  for (int64_t part = 0; part < blocks; part++) {
    const int64_t first = row + rows * part / blocks, some = row + rows * (part + 1) / blocks - first;
    const int64_t tiles = (some + kTileRows - 1) / kTileRows, step = (some + tiles - 1) / tiles;
    for (int64_t level = 0; level < depths; level++) {
      const int64_t p = x.depth * level / depths, depth = x.depth * (level + 1) / depths - p;
      const float *a = x.a + first * x.a_row + p * x.a_column, *b = x.b + p * x.b_row + column * x.b_column;
      if (x.a_column == 1) {
        for (int64_t i = 0; i < some; i++) std::memcpy(block + i * kRowDistance, a + i * x.a_row, depth * sizeof(float));
      } else {
        pack_rows(a, x.a_column, some, step, depth, block);
      }
      for (int64_t j = 0; j < columns; j += kTileColumns) {
        const int64_t wide = columns - j < kTileColumns ? columns - j : kTileColumns;
        pack_columns(b + j * x.b_column, x.b_row, x.b_column, depth, wide, panel);
        Ahead ahead = ahead_of(x, b + (j + wide) * x.b_column, depth, j + wide < columns);
        float *c = x.c + first * x.columns + column + j;
        if (x.a_column == 1) block_columns<kRowDistance, 1>(block, panel, c, x.columns, some, step, wide, depth, level > 0, ahead);
        else block_columns<1, kColumnDistance>(block, panel, c, x.columns, some, step, wide, depth, level > 0, ahead);
      }
    }
  }
}

}  // namespace
