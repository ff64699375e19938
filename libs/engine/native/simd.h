// Vectors of the widest registers that the source is compiled for, in the compilers' own notation (GCC and clang), which
// needs no names of instructions. Everything is local to the source: it is compiled once for each instruction set, and a
// function that the linker took from the wrong one would not run everywhere.
#pragma once
#include <cstdint>
#include <cstring>
#include <utility>

namespace {

#if defined(__AVX512F__)
constexpr int kWidth = 16;
#elif defined(__AVX2__)
constexpr int kWidth = 8;
#else
constexpr int kWidth = 4;
#endif

typedef float Floats __attribute__((vector_size(kWidth * 4)));
typedef int32_t Ints __attribute__((vector_size(kWidth * 4)));
typedef float UnalignedFloats __attribute__((vector_size(kWidth * 4), aligned(4), may_alias));

#define LONGTAIL_INLINE static inline __attribute__((always_inline))

LONGTAIL_INLINE Floats all(float value) { return value - Floats{}; }

LONGTAIL_INLINE Floats load(const float *p) { return *reinterpret_cast<const UnalignedFloats *>(p); }
LONGTAIL_INLINE void store(float *p, Floats value) { *reinterpret_cast<UnalignedFloats *>(p) = value; }

/** A whole vector, or the last values of a row: the rest reads as zero and is not written. */
struct Whole {};
struct Part {
  int64_t count;
};
LONGTAIL_INLINE Floats load(const float *p, Whole) { return load(p); }
LONGTAIL_INLINE void store(float *p, Floats value, Whole) { store(p, value); }
LONGTAIL_INLINE Floats load(const float *p, Part part) {
  Floats value{};
  std::memcpy(&value, p, part.count * sizeof(float));
  return value;
}
LONGTAIL_INLINE void store(float *p, Floats value, Part part) { std::memcpy(p, &value, part.count * sizeof(float)); }

/** Calls f(i, Whole or Part) for each vector of `count` values. */
template <typename F>
LONGTAIL_INLINE void sweep(int64_t count, F f) {
  int64_t i = 0;
  for (; i + kWidth <= count; i += kWidth) f(i, Whole{});
  if (i < count) f(i, Part{count - i});
}

LONGTAIL_INLINE float sum(Floats x) {
  float total = 0;
  for (int i = 0; i < kWidth; i++) total += x[i];
  return total;
}

LONGTAIL_INLINE bool any(Ints mask) {
  int32_t found = 0;
  for (int i = 0; i < kWidth; i++) found |= mask[i];
  return found != 0;
}

LONGTAIL_INLINE Floats max(Floats a, Floats b) { return a > b ? a : b; }

LONGTAIL_INLINE float max(Floats x) {
  float best = x[0];
  for (int i = 1; i < kWidth; i++) best = x[i] > best ? x[i] : best;
  return best;
}

// Between vectors a cast keeps the bits.
LONGTAIL_INLINE Ints bits(Floats x) { return (Ints)x; }
LONGTAIL_INLINE Floats floats(Ints x) { return (Floats)x; }

/** eˣ to an ulp or two (Moshier, Cephes expf): 2ⁿ times a polynomial on ± ½ ln 2. NaN stays NaN; below −87 it is e⁻⁸⁷. */
LONGTAIL_INLINE Floats exp(Floats x) {
  const Floats low = all(-87.0f), high = all(88.0f);
  Floats clamped = x < low ? low : x;
  clamped = clamped > high ? high : clamped;
  // Adding 1.5 · 2²³ rounds to an integer, and leaves it in the lowest bits.
  const Floats magic = all(12582912.0f);
  const Floats shifted = clamped * 1.44269504088896341f + magic;
  const Floats n = shifted - magic;
  Floats r = clamped - n * 0.693359375f;
  r = r - n * -2.12194440e-4f;
  Floats p = all(1.9875691500e-4f);
  p = p * r + 1.3981999507e-3f;
  p = p * r + 8.3334519073e-3f;
  p = p * r + 4.1665795894e-2f;
  p = p * r + 1.6666665459e-1f;
  p = p * r + 5.0000001201e-1f;
  p = p * r * r + r + 1.0f;
  const Floats scaled = floats(bits(p) + (bits(shifted) << 23));
  return x == x ? scaled : x;
}

LONGTAIL_INLINE Floats sigmoid(Floats x) { return 1.0f / (1.0f + exp(-x)); }

}  // namespace
