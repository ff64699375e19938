// Compiled once for each instruction set, with LONGTAIL_KERNELS as the name of its table.
#include "kernels.h"

#include <cmath>

#include "blocked-product.h"
#include "product.h"
#include "simd.h"

namespace {

using longtail::AdamStep;
using longtail::AttentionHead;

/** As in src/ops/constants.ts. */
constexpr float kNormEpsilon = 1e-5f;
/** ½(1 + tanh u) = σ(2u): twice √(2/π), and the cubic term. */
constexpr float kGeluScale = 1.59576912160573081f;
constexpr float kGeluCubic = kGeluScale * 0.044715f;

LONGTAIL_INLINE Floats root(Floats x) {
  Floats y;
  for (int i = 0; i < kWidth; i++) y[i] = __builtin_sqrtf(x[i]);
  return y;
}

void adam(float *p, float *m, float *v, const float *g, int64_t count, const AdamStep &step) {
  const float rate1 = 1 - step.beta1, rate2 = 1 - step.beta2, kept = 1 - step.shrink;
  sweep(count, [&](int64_t i, auto extent) {
    const Floats value = load(p + i, extent);
    const Floats gradient = load(g + i, extent) + value * step.decay;
    Floats first = load(m + i, extent), second = load(v + i, extent);
    first += (gradient - first) * rate1;
    second += (gradient * gradient - second) * rate2;
    store(m + i, first, extent);
    store(v + i, second, extent);
    store(p + i, value * kept - first * step.learning_rate / (root(second) + step.epsilon), extent);
  });
}

template <typename F>
LONGTAIL_INLINE void each_row(const float *x, const float *bias, float *y, int64_t rows, int64_t width, F f) {
  for (int64_t row = 0; row < rows; row++, x += width, y += width)
    sweep(width, [&](int64_t i, auto extent) { store(y + i, f(load(x + i, extent) + load(bias + i, extent)), extent); });
}

void add_bias(const float *x, const float *bias, float *y, int64_t rows, int64_t width) {
  each_row(x, bias, y, rows, width, [](Floats sum) { return sum; });
}

void add_bias_relu(const float *x, const float *bias, float *y, int64_t rows, int64_t width) {
  // NaN stays NaN.
  each_row(x, bias, y, rows, width, [](Floats sum) { return sum < 0.0f ? Floats{} : sum; });
}

void relu_grad(const float *dy, const float *y, float *dx, int64_t count) {
  sweep(count, [&](int64_t i, auto extent) { store(dx + i, load(y + i, extent) > 0.0f ? load(dy + i, extent) : Floats{}, extent); });
}

void add_rows(const float *x, float *sums, int64_t rows, int64_t width) {
  int64_t row = 0;
  for (; row + 4 <= rows; row += 4, x += 4 * width) {
    sweep(width, [&](int64_t i, auto extent) {
      const Floats upper = load(x + i, extent) + load(x + width + i, extent);
      const Floats lower = load(x + 2 * width + i, extent) + load(x + 3 * width + i, extent);
      store(sums + i, load(sums + i, extent) + (upper + lower), extent);
    });
  }
  for (; row < rows; row++, x += width)
    sweep(width, [&](int64_t i, auto extent) { store(sums + i, load(sums + i, extent) + load(x + i, extent), extent); });
}

LONGTAIL_INLINE Floats gelu(Floats x) { return x * sigmoid(x * (x * x * kGeluCubic + kGeluScale)); }

void add_bias_gelu(const float *x, const float *bias, float *sum, float *y, int64_t rows, int64_t width) {
  for (int64_t row = 0; row < rows; row++, x += width, sum += width, y += width) {
    sweep(width, [&](int64_t i, auto extent) {
      const Floats value = load(x + i, extent) + load(bias + i, extent);
      store(sum + i, value, extent);
      store(y + i, gelu(value), extent);
    });
  }
}

void gelu(const float *x, float *y, int64_t count) {
  sweep(count, [&](int64_t i, auto extent) { store(y + i, gelu(load(x + i, extent)), extent); });
}

void gelu_grad(const float *dy, const float *x, float *dx, int64_t count) {
  sweep(count, [&](int64_t i, auto extent) {
    const Floats value = load(x + i, extent), square = value * value;
    const Floats gate = sigmoid(value * (square * kGeluCubic + kGeluScale));
    const Floats slope = gate + value * gate * (1.0f - gate) * (square * (3 * kGeluCubic) + kGeluScale);
    store(dx + i, load(dy + i, extent) * slope, extent);
  });
}

void swiglu(const float *gate, const float *up, float *y, int64_t count) {
  sweep(count, [&](int64_t i, auto extent) {
    const Floats value = load(gate + i, extent);
    store(y + i, value * sigmoid(value) * load(up + i, extent), extent);
  });
}

void swiglu_grad(const float *dy, const float *gate, const float *up, float *dgate, float *dup, int64_t count) {
  sweep(count, [&](int64_t i, auto extent) {
    const Floats value = load(gate + i, extent), sigma = sigmoid(value), silu = value * sigma;
    const Floats slope = load(dy + i, extent);
    // silu' = σ + silu · (1 − σ)
    store(dgate + i, slope * load(up + i, extent) * (sigma + silu * (1.0f - sigma)), extent);
    store(dup + i, slope * silu, extent);
  });
}

/** Σ f over a row: f gives each vector's terms, zero beyond the row's end. */
template <typename F>
LONGTAIL_INLINE float row_sum(int64_t width, F f) {
  Floats total{};
  sweep(width, [&](int64_t i, auto extent) { total += f(i, extent); });
  return sum(total);
}

/** Zero beyond the end of a row. */
LONGTAIL_INLINE Floats within(Floats x, Whole) { return x; }
LONGTAIL_INLINE Floats within(Floats x, Part part) {
  for (int i = static_cast<int>(part.count); i < kWidth; i++) x[i] = 0;
  return x;
}

void layer_norm(const float *x, const float *gain, const float *bias, float *y, float *mean, float *r, int64_t rows, int64_t width) {
  for (int64_t row = 0; row < rows; row++, x += width, y += width) {
    const float centre = row_sum(width, [&](int64_t i, auto extent) { return load(x + i, extent); }) / width;
    const float squares = row_sum(width, [&](int64_t i, auto extent) {
      const Floats centred = within(load(x + i, extent) - centre, extent);
      return centred * centred;
    });
    const float scale = 1 / __builtin_sqrtf(squares / width + kNormEpsilon);
    sweep(width, [&](int64_t i, auto extent) {
      store(y + i, (load(x + i, extent) - centre) * scale * load(gain + i, extent) + load(bias + i, extent), extent);
    });
    mean[row] = centre;
    r[row] = scale;
  }
}

// With x̂ the normalised input and r the reciprocal deviation: dx = r (dx̂ − mean(dx̂) − x̂ mean(dx̂ x̂)).
void layer_norm_grad(const float *dy, const float *x, const float *mean, const float *r, const float *gain, float *dx, float *dgain,
                     float *dbias, int64_t rows, int64_t width) {
  for (int64_t row = 0; row < rows; row++, dy += width, x += width, dx += width) {
    const float centre = mean[row], scale = r[row];
    Floats total{}, projected{};
    sweep(width, [&](int64_t i, auto extent) {
      const Floats slope = load(dy + i, extent), normal = (load(x + i, extent) - centre) * scale;
      const Floats inner = slope * load(gain + i, extent);
      total += inner;
      projected += inner * normal;  // zero beyond the end: the slope is
      store(dgain + i, load(dgain + i, extent) + slope * normal, extent);
      store(dbias + i, load(dbias + i, extent) + slope, extent);
    });
    const float average = sum(total) / width, projection = sum(projected) / width;
    sweep(width, [&](int64_t i, auto extent) {
      const Floats normal = (load(x + i, extent) - centre) * scale;
      store(dx + i, (load(dy + i, extent) * load(gain + i, extent) - average - normal * projection) * scale, extent);
    });
  }
}

void rms_norm(const float *x, const float *gain, float *y, float *r, int64_t rows, int64_t width) {
  for (int64_t row = 0; row < rows; row++, x += width, y += width) {
    const float squares = row_sum(width, [&](int64_t i, auto extent) {
      const Floats value = load(x + i, extent);
      return value * value;
    });
    const float scale = 1 / __builtin_sqrtf(squares / width + kNormEpsilon);
    sweep(width, [&](int64_t i, auto extent) { store(y + i, load(x + i, extent) * scale * load(gain + i, extent), extent); });
    r[row] = scale;
  }
}

void rms_norm_grad(const float *dy, const float *x, const float *r, const float *gain, float *dx, float *dgain, int64_t rows,
                   int64_t width) {
  for (int64_t row = 0; row < rows; row++, dy += width, x += width, dx += width) {
    const float scale = r[row];
    Floats projected{};
    sweep(width, [&](int64_t i, auto extent) {
      const Floats slope = load(dy + i, extent), normal = load(x + i, extent) * scale;
      projected += slope * load(gain + i, extent) * normal;
      store(dgain + i, load(dgain + i, extent) + slope * normal, extent);
    });
    const float projection = sum(projected) / width;
    sweep(width, [&](int64_t i, auto extent) {
      const Floats normal = load(x + i, extent) * scale;
      store(dx + i, (load(dy + i, extent) * load(gain + i, extent) - normal * projection) * scale, extent);
    });
  }
}

float row_max(const float *x, int64_t width) {
  // The first value stands in beyond the end of a row.
  Floats best = all(x[0]);
  int64_t i = 0;
  for (; i + kWidth <= width; i += kWidth) best = max(best, load(x + i));
  for (; i < width; i++) best = max(best, all(x[i]));
  return max(best);
}

/** Where a row's largest value first is; 0 in a row of NaN. */
int32_t position(const float *x, float highest, int64_t width) {
  int64_t at = 0;
  while (at + kWidth <= width && !any(load(x + at) == highest)) at += kWidth;
  while (at < width && x[at] != highest) at++;
  return static_cast<int32_t>(at < width ? at : 0);
}

void cross_entropy(const float *logits, const int32_t *labels, float *loss, float *log_total, int32_t *best, int64_t rows,
                   int64_t classes) {
  for (int64_t row = 0; row < rows; row++, logits += classes) {
    const float highest = row_max(logits, classes);
    best[row] = position(logits, highest, classes);
    const float total =
        row_sum(classes, [&](int64_t i, auto extent) { return within(exp(load(logits + i, extent) - highest), extent); });
    log_total[row] = highest + std::log(total);
    loss[row] = log_total[row] - logits[labels[row]];
  }
}

void cross_entropy_grad(const float *dy, const float *logits, const float *log_total, const int32_t *labels, float *dlogits,
                        int64_t rows, int64_t classes) {
  for (int64_t row = 0; row < rows; row++, logits += classes, dlogits += classes) {
    const float slope = dy[row], log_row = log_total[row];
    sweep(classes, [&](int64_t i, auto extent) { store(dlogits + i, exp(load(logits + i, extent) - log_row) * slope, extent); });
    dlogits[labels[row]] -= slope;
  }
}

void arg_max(const float *x, int32_t *index, int64_t rows, int64_t width) {
  for (int64_t row = 0; row < rows; row++, x += width) {
    index[row] = position(x, row_max(x, width), width);
  }
}

/** Queries at a time: few enough for their scores to stay in the first cache, many enough for the causal half to be skipped. */
constexpr int64_t kQueries = 32;

int64_t attention_scratch(int64_t length, int64_t width) { return 2 * kQueries * length + 7 * width * length; }

/** Rows of a head side by side: apart, their distance would put them all into the same few lines of the cache. */
void gather(const float *x, int64_t stride, int64_t rows, int64_t columns, float *y) {
  for (int64_t i = 0; i < rows; i++) std::memcpy(y + i * columns, x + i * stride, columns * sizeof(float));
}

void scatter(const float *x, int64_t rows, int64_t columns, float *y, int64_t stride) {
  for (int64_t i = 0; i < rows; i++) std::memcpy(y + i * stride, x + i * columns, columns * sizeof(float));
}

void transpose(const float *x, int64_t stride, int64_t rows, int64_t columns, float *y) {
  // Sixteen rows at a time fill whole lines of the cache.
  for (int64_t from = 0; from < rows; from += 16) {
    const int64_t to = from + 16 < rows ? from + 16 : rows;
    for (int64_t j = 0; j < columns; j++)
      for (int64_t i = from; i < to; i++) y[j * rows + i] = x[i * stride + j];
  }
}

/** Keys that the first `seen` are computed with, so that the products have no ragged end; never more than there are. */
int64_t whole_vectors(int64_t seen, int64_t length) {
  const int64_t rounded = (seen + kWidth - 1) / kWidth * kWidth;
  return rounded < length ? rounded : length;
}

void attention(const AttentionHead &head, float *out, float *log_total, float *scratch) {
  const int64_t length = head.length, width = head.width;
  const float scale = 1 / __builtin_sqrtf(static_cast<float>(width));
  float *keys_dL = scratch, *values = keys_dL + width * length, *weights = values + width * length;
  transpose(head.k, head.stride, length, width, keys_dL);
  gather(head.v, head.stride, length, width, values);
  for (int64_t from = 0; from < length; from += kQueries) {
    const int64_t count = length - from < kQueries ? length - from : kQueries;
    const int64_t keys = whole_vectors(from + count, length);
    product({head.q + from * head.stride, head.stride, 1}, keys_dL, length, weights, length, count, keys, width, false);
    for (int64_t i = 0; i < count; i++) {
      float *row = weights + i * length;
      const int64_t seen = from + i + 1;
      const float highest = row_max(row, seen) * scale;
      const float total = row_sum(seen, [&](int64_t j, auto extent) {
        const Floats weight = within(exp(load(row + j, extent) * scale - highest), extent);
        store(row + j, weight, extent);
        return weight;
      });
      log_total[from + i] = highest + std::log(total);
      const float share = 1 / total;
      sweep(seen, [&](int64_t j, auto extent) { store(row + j, load(row + j, extent) * share, extent); });
      for (int64_t j = seen; j < from + count; j++) row[j] = 0;
    }
    product({weights, length, 1}, values, width, out + from * head.out_stride, head.out_stride, count, width, from + count, false);
  }
}

void attention_grad(const AttentionHead &head, const float *dout, const float *out, const float *log_total, float *dq, float *dk,
                    float *dv, float *scratch) {
  const int64_t length = head.length, width = head.width, size = length * width;
  const float scale = 1 / __builtin_sqrtf(static_cast<float>(width));
  float *keys_dL = scratch, *values_dL = keys_dL + size, *keys = values_dL + size, *queries = keys + size, *douts = queries + size;
  float *dkeys = douts + size, *dvalues = dkeys + size, *weights = dvalues + size, *slopes = weights + kQueries * length;
  transpose(head.k, head.stride, length, width, keys_dL);
  transpose(head.v, head.stride, length, width, values_dL);
  gather(head.k, head.stride, length, width, keys);
  gather(head.q, head.stride, length, width, queries);
  gather(dout, head.out_stride, length, width, douts);
  // From the last queries to the first: those see all keys, so that the first product overwrites every row of dk and dv.
  const int64_t last = (length - 1) / kQueries * kQueries;
  for (int64_t from = last; from >= 0; from -= kQueries) {
    const int64_t count = length - from < kQueries ? length - from : kQueries;
    const int64_t columns = whole_vectors(from + count, length);
    const float *q_rows = queries + from * width, *dout_rows = douts + from * width;
    product({q_rows, width, 1}, keys_dL, length, weights, length, count, columns, width, false);
    product({dout_rows, width, 1}, values_dL, length, slopes, length, count, columns, width, false);
    for (int64_t i = 0; i < count; i++) {
      float *weight = weights + i * length, *slope = slopes + i * length;
      const int64_t seen = from + i + 1;
      // Σ weight · slope = out · dout (Dao et al. 2022, FlashAttention, appendix B).
      const float *o = out + (from + i) * head.out_stride, *g = dout_rows + i * width;
      const float projection = row_sum(width, [&](int64_t j, auto extent) { return load(o + j, extent) * load(g + j, extent); });
      const float log_row = log_total[from + i];
      sweep(seen, [&](int64_t j, auto extent) {
        const Floats p = exp(load(weight + j, extent) * scale - log_row);
        store(weight + j, p, extent);
        store(slope + j, p * (load(slope + j, extent) - projection) * scale, extent);
      });
      for (int64_t j = seen; j < from + count; j++) weight[j] = slope[j] = 0;
    }
    const bool add = from != last;
    product({slopes, length, 1}, keys, width, dq + from * head.stride, head.stride, count, width, from + count, false);
    product({slopes, 1, length}, q_rows, width, dkeys, width, from + count, width, count, add);
    product({weights, 1, length}, dout_rows, width, dvalues, width, from + count, width, count, add);
  }
  scatter(dkeys, length, width, dk, head.stride);
  scatter(dvalues, length, width, dv, head.stride);
}

}  // namespace

#if defined(__AVX512F__)
constexpr const char *kInstructions = "avx512";
#elif defined(__AVX2__)
constexpr const char *kInstructions = "avx2";
#else
constexpr const char *kInstructions = "any";
#endif

extern const longtail::Kernels LONGTAIL_KERNELS;
const longtail::Kernels LONGTAIL_KERNELS = {
    kInstructions, adam,           add_bias,         add_bias_relu,     relu_grad,     add_rows,
    add_bias_gelu, gelu,          gelu_grad,      swiglu,           swiglu_grad,       layer_norm,    layer_norm_grad,
    rms_norm,      rms_norm_grad,  cross_entropy,    cross_entropy_grad, arg_max,      attention_scratch,
    attention,     attention_grad, multiply_scratch, multiply,
};
