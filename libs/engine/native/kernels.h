// The arithmetic of the fused ops, once for each instruction set. Every function works on a range of rows or values, so
// that the caller decides what runs on which thread. Float32, row-major; N = rows, D = width.
#pragma once
#include <cstdint>

namespace longtail {

struct AdamStep {
  float learning_rate, beta1, beta2, epsilon;
  /** Added to the gradient as decay · parameter. */
  float decay;
  /** Taken off the parameter first, as shrink · parameter. */
  float shrink;
};

/** The batch and head of an attention that a call works on. */
struct AttentionHead {
  const float *q, *k, *v;
  /** Distance of the rows of q, k, v and of their gradients. */
  int64_t stride;
  /** Distance of the rows of the output and of its gradient. */
  int64_t out_stride;
  int64_t length, width;
};

/** c [rows, columns] = a [rows, depth] · b [depth, columns]; one distance of either factor's values is 1. */
struct Product {
  const float *a;
  int64_t a_row, a_column;
  const float *b;
  int64_t b_row, b_column;
  float *c;
  int64_t rows, columns, depth;
};

struct Kernels {
  /** What they are compiled for: `avx512`, `avx2`, or `any`. */
  const char *instructions;
  void (*adam)(float *p, float *m, float *v, const float *g, int64_t count, const AdamStep &step);
  void (*add_bias)(const float *x, const float *bias, float *y, int64_t rows, int64_t width);
  void (*add_bias_relu)(const float *x, const float *bias, float *y, int64_t rows, int64_t width);
  void (*relu_grad)(const float *dy, const float *y, float *dx, int64_t count);
  /** sums [D] += the rows of x. */
  void (*add_rows)(const float *x, float *sums, int64_t rows, int64_t width);
  /** sum = x + bias, y = gelu(sum). */
  void (*add_bias_gelu)(const float *x, const float *bias, float *sum, float *y, int64_t rows, int64_t width);
  void (*gelu)(const float *x, float *y, int64_t count);
  void (*gelu_grad)(const float *dy, const float *x, float *dx, int64_t count);
  void (*swiglu)(const float *gate, const float *up, float *y, int64_t count);
  void (*swiglu_grad)(const float *dy, const float *gate, const float *up, float *dgate, float *dup, int64_t count);
  void (*layer_norm)(const float *x, const float *gain, const float *bias, float *y, float *mean, float *r, int64_t rows,
                     int64_t width);
  /** dgain [D] and dbias [D] are added to. */
  void (*layer_norm_grad)(const float *dy, const float *x, const float *mean, const float *r, const float *gain, float *dx,
                          float *dgain, float *dbias, int64_t rows, int64_t width);
  void (*rms_norm)(const float *x, const float *gain, float *y, float *r, int64_t rows, int64_t width);
  void (*rms_norm_grad)(const float *dy, const float *x, const float *r, const float *gain, float *dx, float *dgain,
                        int64_t rows, int64_t width);
  /** best: as of arg_max. */
  void (*cross_entropy)(const float *logits, const int32_t *labels, float *loss, float *log_total, int32_t *best, int64_t rows,
                        int64_t classes);
  void (*cross_entropy_grad)(const float *dy, const float *logits, const float *log_total, const int32_t *labels,
                             float *dlogits, int64_t rows, int64_t classes);
  /** The first of the largest. */
  void (*arg_max)(const float *x, int32_t *index, int64_t rows, int64_t width);
  /** Floats of scratch memory that the two below want. */
  int64_t (*attention_scratch)(int64_t length, int64_t width);
  /** log_total [L]: logarithm of the sum of the exponentials of each query's scores. */
  void (*attention)(const AttentionHead &head, float *out, float *log_total, float *scratch);
  /** dq, dk and dv are overwritten. */
  void (*attention_grad)(const AttentionHead &head, const float *dout, const float *out, const float *log_total, float *dq,
                         float *dk, float *dv, float *scratch);
  int64_t (*multiply_scratch)();
  /** Some rows and columns of a product. */
  void (*multiply)(const Product &product, int64_t row, int64_t rows, int64_t column, int64_t columns, float *scratch);
};

/** Those for the best instructions that this processor has. */
const Kernels &kernels();

}  // namespace longtail
