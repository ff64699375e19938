#include "ops.h"

#include <algorithm>
#include <memory>

#include "kernels.h"
#include "parallel.h"

namespace longtail {
namespace {

/** Floats of a thread's share, at least: a pass over fewer is over before a second thread has heard of it. */
constexpr int64_t kShare = 16384;
/** So that a thread that is late does not hold up the others. */
constexpr int64_t kTasksPerThread = 4;
/** Multiplications of a product that take as long as a value of a pass over memory. */
constexpr int64_t kMultiplications = 16;
/** Shares of a product go by so many columns: two of the widest vectors. */
constexpr int64_t kShareColumns = 32;

int64_t tasks_for(int64_t count, int64_t floats, int64_t per_thread = kTasksPerThread) {
  if (threads() == 1) return 1;
  return std::max<int64_t>(1, std::min({count, floats / kShare, threads() * per_thread}));
}

/** Element by element: f(from, to). */
template <typename F>
void over_values(int64_t count, F f) {
  for_ranges(count, tasks_for(count, count), [&](int64_t from, int64_t to, int64_t) { f(from, to - from); });
}

/** Row by row: f(row, rows). */
template <typename F>
void over_rows(int64_t rows, int64_t width, F f) {
  for_ranges(rows, tasks_for(rows, rows * width), [&](int64_t from, int64_t to, int64_t) { f(from, to - from); });
}

/**
 * Row by row with sums over the rows: f(row, rows, sums), where sums [count] begins as zeros. Each thread adds up for
 * itself; then the sums are added in order, so that the same number of threads always gives the same bits.
 */
template <typename F>
void over_rows_adding(int64_t rows, int64_t width, float *sums, int64_t count, F f) {
  const int64_t tasks = tasks_for(rows, rows * width, 1);
  std::fill(sums, sums + count, 0.0f);
  std::vector<float> others((tasks - 1) * count);
  for_ranges(rows, tasks, [&](int64_t from, int64_t to, int64_t task) {
    f(from, to - from, task == 0 ? sums : others.data() + (task - 1) * count);
  });
  for (int64_t task = 0; task < tasks - 1; task++)
    for (int64_t i = 0; i < count; i++) sums[i] += others[task * count + i];
}

/** A copy that nobody else holds, and that no optimizer of graphs folds or shares. */
void fresh(Call &call, const Attributes &) {
  const Tensor x = call.input(0), y = call.output(0, x.shape());
  over_values(x.size(), [&](int64_t i, int64_t count) { std::copy_n(x.floats() + i, count, y.floats() + i); });
}

void overwrite(Call &call, const Attributes &) {
  const Tensor target = call.input(0), value = call.input(1);
  over_values(value.size(), [&](int64_t i, int64_t count) { std::copy_n(value.floats() + i, count, target.floats() + i); });
}

/** One step for all parameters, in place. Inputs: N parameters, N first moments, N second ones, N gradients, three scalars. */
void adam(Call &call, const Attributes &attributes) {
  const int n = (call.inputs() - 3) / 4;
  const auto scalar = [&](int i) { return call.input(4 * n + i).floats()[0]; };
  const AdamStep step{scalar(0), attributes.beta1, attributes.beta2, scalar(1), attributes.decay, scalar(2)};
  struct Slot {
    float *p, *m, *v, *g;
    /** In all parameters one after the other. */
    int64_t from, to;
  };
  std::vector<Slot> slots;
  std::vector<Tensor> held;
  int64_t total = 0;
  for (int i = 0; i < n; i++) {
    float *data[4];
    for (int part = 0; part < 4; part++) {
      held.push_back(call.input(part * n + i));
      data[part] = held.back().floats();
    }
    const int64_t size = held.back().size();
    slots.push_back({data[0], data[1], data[2], data[3], total, total + size});
    total += size;
  }
  over_values(total, [&](int64_t begin, int64_t count) {
    for (const Slot &slot : slots) {
      const int64_t from = std::max(begin, slot.from), to = std::min(begin + count, slot.to);
      if (from >= to) continue;
      const int64_t at = from - slot.from;
      kernels().adam(slot.p + at, slot.m + at, slot.v + at, slot.g + at, to - from, step);
    }
  });
}

template <auto Kernels::*add>
void bias(Call &call, const Attributes &) {
  const Shape shape = call.input(0).shape();
  const Tensor y = call.output_over(0, 0, shape), x = call.input(0), bias = call.input(1);
  const int64_t width = bias.size();
  over_rows(x.size() / width, width, [&](int64_t row, int64_t rows) {
    (kernels().*add)(x.floats() + row * width, bias.floats(), y.floats() + row * width, rows, width);
  });
}

void bias_gelu(Call &call, const Attributes &) {
  const Shape shape = call.input(0).shape();
  const Tensor sum = call.output_over(0, 0, shape), y = call.output(1, shape), x = call.input(0), bias = call.input(1);
  const int64_t width = bias.size();
  over_rows(x.size() / width, width, [&](int64_t row, int64_t rows) {
    const int64_t at = row * width;
    kernels().add_bias_gelu(x.floats() + at, bias.floats(), sum.floats() + at, y.floats() + at, rows, width);
  });
}

/** Gradient through an activation, of its output (ReLU) or input (GELU), and its sum over the rows: the bias's. */
template <auto Kernels::*grad>
void activation_bias_grad(Call &call, const Attributes &) {
  const Shape shape = call.input(0).shape();
  const Tensor dx = call.output_over(0, 0, shape), dy = call.input(0), y = call.input(1);
  const int64_t width = dy.last();
  const Tensor sums = call.output(1, {width});
  over_rows_adding(dy.size() / width, width, sums.floats(), width, [&](int64_t row, int64_t rows, float *sums) {
    // A few rows at a time: still in the first cache when they are added.
    for (int64_t i = row; i < row + rows; i += 4) {
      const int64_t some = std::min<int64_t>(4, row + rows - i);
      (kernels().*grad)(dy.floats() + i * width, y.floats() + i * width, dx.floats() + i * width, some * width);
      kernels().add_rows(dx.floats() + i * width, sums, some, width);
    }
  });
}

void bias_grad(Call &call, const Attributes &) {
  const Tensor dy = call.input(0);
  const int64_t width = dy.last();
  const Tensor sums = call.output(0, {width});
  over_rows_adding(dy.size() / width, width, sums.floats(), width,
                   [&](int64_t row, int64_t rows, float *sums) { kernels().add_rows(dy.floats() + row * width, sums, rows, width); });
}

void gelu(Call &call, const Attributes &) {
  const Tensor x = call.input(0), y = call.output(0, x.shape());
  over_values(x.size(), [&](int64_t i, int64_t count) { kernels().gelu(x.floats() + i, y.floats() + i, count); });
}

void gelu_grad(Call &call, const Attributes &) {
  const Shape shape = call.input(0).shape();
  const Tensor dx = call.output_over(0, 0, shape), dy = call.input(0), x = call.input(1);
  over_values(dy.size(), [&](int64_t i, int64_t count) { kernels().gelu_grad(dy.floats() + i, x.floats() + i, dx.floats() + i, count); });
}

void swiglu(Call &call, const Attributes &) {
  const Tensor gate = call.input(0), up = call.input(1), y = call.output(0, gate.shape());
  over_values(gate.size(),
              [&](int64_t i, int64_t count) { kernels().swiglu(gate.floats() + i, up.floats() + i, y.floats() + i, count); });
}

void swiglu_grad(Call &call, const Attributes &) {
  const Tensor dy = call.input(0), gate = call.input(1), up = call.input(2);
  const Tensor dgate = call.output(0, gate.shape()), dup = call.output(1, gate.shape());
  over_values(dy.size(), [&](int64_t i, int64_t count) {
    kernels().swiglu_grad(dy.floats() + i, gate.floats() + i, up.floats() + i, dgate.floats() + i, dup.floats() + i, count);
  });
}

void layer_norm(Call &call, const Attributes &) {
  const Tensor x = call.input(0), gain = call.input(1), bias = call.input(2);
  const int64_t rows = x.dim(0), width = x.dim(1);
  const Tensor y = call.output(0, x.shape()), mean = call.output(1, {rows}), r = call.output(2, {rows});
  over_rows(rows, width, [&](int64_t row, int64_t some) {
    kernels().layer_norm(x.floats() + row * width, gain.floats(), bias.floats(), y.floats() + row * width, mean.floats() + row,
                         r.floats() + row, some, width);
  });
}

void layer_norm_grad(Call &call, const Attributes &) {
  const Shape shape = call.input(0).shape();
  const int64_t rows = shape[0], width = shape[1];
  const Tensor dx = call.output_over(0, 0, shape), dy = call.input(0);
  const Tensor x = call.input(1), mean = call.input(2), r = call.input(3), gain = call.input(4);
  const Tensor dgain = call.output(1, {width}), dbias = call.output(2, {width});
  std::vector<float> sums(2 * width);
  over_rows_adding(rows, width, sums.data(), 2 * width, [&](int64_t row, int64_t some, float *sums) {
    kernels().layer_norm_grad(dy.floats() + row * width, x.floats() + row * width, mean.floats() + row, r.floats() + row, gain.floats(),
                              dx.floats() + row * width, sums, sums + width, some, width);
  });
  std::copy_n(sums.data(), width, dgain.floats());
  std::copy_n(sums.data() + width, width, dbias.floats());
}

void rms_norm(Call &call, const Attributes &) {
  const Tensor x = call.input(0), gain = call.input(1);
  const int64_t rows = x.dim(0), width = x.dim(1);
  const Tensor y = call.output(0, x.shape()), r = call.output(1, {rows});
  over_rows(rows, width, [&](int64_t row, int64_t some) {
    kernels().rms_norm(x.floats() + row * width, gain.floats(), y.floats() + row * width, r.floats() + row, some, width);
  });
}

void rms_norm_grad(Call &call, const Attributes &) {
  const Shape shape = call.input(0).shape();
  const int64_t rows = shape[0], width = shape[1];
  const Tensor dx = call.output_over(0, 0, shape), dy = call.input(0);
  const Tensor x = call.input(1), r = call.input(2), gain = call.input(3), dgain = call.output(1, {width});
  over_rows_adding(rows, width, dgain.floats(), width, [&](int64_t row, int64_t some, float *sums) {
    kernels().rms_norm_grad(dy.floats() + row * width, x.floats() + row * width, r.floats() + row, gain.floats(),
                            dx.floats() + row * width, sums, some, width);
  });
}

void cross_entropy(Call &call, const Attributes &) {
  const Tensor logits = call.input(0), labels = call.input(1);
  const int64_t rows = logits.dim(0), classes = logits.dim(1);
  const Tensor loss = call.output(0, {rows}), log_total = call.output(1, {rows}), best = call.output(2, {rows}, TF_INT32);
  if (std::any_of(labels.ints(), labels.ints() + rows, [&](int32_t label) { return label < 0 || label >= classes; }))
    return call.fail("a label is not among the classes");
  over_rows(rows, classes, [&](int64_t row, int64_t some) {
    kernels().cross_entropy(logits.floats() + row * classes, labels.ints() + row, loss.floats() + row, log_total.floats() + row,
                            best.ints() + row, some, classes);
  });
}

void cross_entropy_grad(Call &call, const Attributes &) {
  const Shape shape = call.input(1).shape();
  const Tensor dlogits = call.output_over(1, 0, shape);
  const Tensor dy = call.input(0), logits = call.input(1), log_total = call.input(2), labels = call.input(3);
  const int64_t classes = shape[1];
  over_rows(shape[0], classes, [&](int64_t row, int64_t some) {
    kernels().cross_entropy_grad(dy.floats() + row, logits.floats() + row * classes, log_total.floats() + row, labels.ints() + row,
                                 dlogits.floats() + row * classes, some, classes);
  });
}

void arg_max(Call &call, const Attributes &) {
  const Tensor x = call.input(0);
  const int64_t rows = x.dim(0), width = x.dim(1);
  const Tensor index = call.output(0, {rows}, TF_INT32);
  over_rows(rows, width, [&](int64_t row, int64_t some) { kernels().arg_max(x.floats() + row * width, index.ints() + row, some, width); });
}

/** Memory that a thread keeps. */
float *multiply_scratch() {
  static thread_local const std::unique_ptr<float[]> memory(new float[kernels().multiply_scratch()]);
  return memory.get();
}

/** In a share a thread of the longer side of the result: each of them copies the smaller factor. */
void multiply(const Product &x) {
  const bool by_rows = x.rows > x.columns;
  const int64_t units = by_rows ? x.rows : (x.columns + kShareColumns - 1) / kShareColumns;
  const int64_t tasks = tasks_for(units, x.rows * x.columns * x.depth / kMultiplications, 1);
  for_ranges(units, tasks, [&](int64_t from, int64_t to, int64_t) {
    if (by_rows) return kernels().multiply(x, from, to - from, 0, x.columns, multiply_scratch());
    const int64_t first = from * kShareColumns;
    kernels().multiply(x, 0, x.rows, first, std::min(to * kShareColumns, x.columns) - first, multiply_scratch());
  });
}

void product(Call &call, const Attributes &attributes) {
  const Tensor a = call.input(0), b = call.input(1);
  const int64_t rows = a.dim(attributes.transpose_a), depth = a.dim(1 - attributes.transpose_a), columns = b.dim(1 - attributes.transpose_b);
  if (b.dim(attributes.transpose_b) != depth) return call.fail("the factors of a product do not fit each other");
  const Tensor c = call.output(0, {rows, columns});
  const int64_t a_width = a.dim(1), b_width = b.dim(1);
  multiply({a.floats(), attributes.transpose_a ? 1 : a_width, attributes.transpose_a ? a_width : 1, b.floats(),
            attributes.transpose_b ? 1 : b_width, attributes.transpose_b ? b_width : 1, c.floats(), rows, columns, depth});
}

/** Where heads lie: apart [B, H, L, d], or side by side in rows of queries, keys and values [B, L, 3, H, d]. */
struct Layout {
  int64_t batch, heads, length, width;
  bool packed;

  /** Floats of a row of q, k and v, and of a row of the output. */
  int64_t stride() const { return packed ? 3 * heads * width : width; }
  int64_t out_stride() const { return packed ? heads * width : width; }
  /** Where a batch's head begins. */
  int64_t at(int64_t b, int64_t h) const { return packed ? b * length * stride() + h * width : (b * heads + h) * length * width; }
  int64_t out_at(int64_t b, int64_t h) const { return packed ? b * length * out_stride() + h * width : at(b, h); }
};

/** Calls f(head's q/k/v offset, output offset, log total offset, scratch) for each head of each batch. */
template <typename F>
void over_heads(const Layout &layout, F f) {
  const int64_t count = layout.batch * layout.heads, scratch = kernels().attention_scratch(layout.length, layout.width);
  const int64_t tasks = threads() == 1 ? 1 : std::min<int64_t>(count, threads() * kTasksPerThread);
  for_ranges(count, tasks, [&](int64_t from, int64_t to, int64_t) {
    const std::unique_ptr<float[]> memory(new float[scratch]);
    for (int64_t i = from; i < to; i++) {
      const int64_t b = i / layout.heads, h = i % layout.heads;
      f(layout.at(b, h), layout.out_at(b, h), i * layout.length, memory.get());
    }
  });
}

Layout apart(const Tensor &q) { return {q.dim(0), q.dim(1), q.dim(2), q.dim(3), false}; }

/** qkv [B, L, 3 D]. */
Layout side_by_side(const Tensor &qkv, int64_t heads) { return {qkv.dim(0), heads, qkv.dim(1), qkv.dim(2) / (3 * heads), true}; }

void attend(const Layout &layout, const float *q, const float *k, const float *v, float *out, float *log_total) {
  over_heads(layout, [&](int64_t at, int64_t out_at, int64_t row, float *scratch) {
    kernels().attention({q + at, k + at, v + at, layout.stride(), layout.out_stride(), layout.length, layout.width}, out + out_at,
                        log_total + row, scratch);
  });
}

void attend_back(const Layout &layout, const float *dout, const float *q, const float *k, const float *v, const float *out,
                 const float *log_total, float *dq, float *dk, float *dv) {
  over_heads(layout, [&](int64_t at, int64_t out_at, int64_t row, float *scratch) {
    kernels().attention_grad({q + at, k + at, v + at, layout.stride(), layout.out_stride(), layout.length, layout.width}, dout + out_at,
                             out + out_at, log_total + row, dq + at, dk + at, dv + at, scratch);
  });
}

void attention(Call &call, const Attributes &) {
  const Tensor q = call.input(0), k = call.input(1), v = call.input(2);
  const Layout layout = apart(q);
  const Tensor out = call.output(0, q.shape()), log_total = call.output(1, {layout.batch, layout.heads, layout.length});
  attend(layout, q.floats(), k.floats(), v.floats(), out.floats(), log_total.floats());
}

void attention_grad(Call &call, const Attributes &) {
  const Tensor dout = call.input(0), q = call.input(1), k = call.input(2), v = call.input(3), out = call.input(4), log_total = call.input(5);
  const Tensor dq = call.output(0, q.shape()), dk = call.output(1, q.shape()), dv = call.output(2, q.shape());
  attend_back(apart(q), dout.floats(), q.floats(), k.floats(), v.floats(), out.floats(), log_total.floats(), dq.floats(), dk.floats(),
              dv.floats());
}

void self_attention(Call &call, const Attributes &attributes) {
  const Tensor qkv = call.input(0);
  const Layout layout = side_by_side(qkv, attributes.heads);
  const int64_t width = layout.heads * layout.width;
  const Tensor out = call.output(0, {layout.batch, layout.length, width});
  const Tensor log_total = call.output(1, {layout.batch, layout.heads, layout.length});
  attend(layout, qkv.floats(), qkv.floats() + width, qkv.floats() + 2 * width, out.floats(), log_total.floats());
}

void self_attention_grad(Call &call, const Attributes &attributes) {
  const Tensor dout = call.input(0), qkv = call.input(1), out = call.input(2), log_total = call.input(3);
  const Layout layout = side_by_side(qkv, attributes.heads);
  const int64_t width = layout.heads * layout.width;
  const Tensor dqkv = call.output(0, qkv.shape());
  attend_back(layout, dout.floats(), qkv.floats(), qkv.floats() + width, qkv.floats() + 2 * width, out.floats(), log_total.floats(),
              dqkv.floats(), dqkv.floats() + width, dqkv.floats() + 2 * width);
}

}  // namespace

const std::vector<Op> &all_ops() {
  static const std::vector<Op> ops = {
      {"LongtailFresh", {"x: float"}, {"y: float"}, {}, kernel<fresh>, true},
      {"LongtailOverwrite", {"target: float", "value: float"}, {}, {}, kernel<overwrite>, true},
      {"LongtailAdam",
       {"parameters: N * float", "first: N * float", "second: N * float", "gradients: N * float", "learning_rate: float",
        "epsilon: float", "shrink: float"},
       {},
       {"N: int >= 1", "beta1: float", "beta2: float", "decay: float"},
       kernel<adam>,
       true},
      {"LongtailBias", {"x: float", "bias: float"}, {"y: float"}, {}, kernel<bias<&Kernels::add_bias>>},
      {"LongtailBiasRelu", {"x: float", "bias: float"}, {"y: float"}, {}, kernel<bias<&Kernels::add_bias_relu>>},
      {"LongtailReluBiasGrad", {"dy: float", "y: float"}, {"dx: float", "dbias: float"}, {}, kernel<activation_bias_grad<&Kernels::relu_grad>>},
      {"LongtailBiasGelu", {"x: float", "bias: float"}, {"sum: float", "y: float"}, {}, kernel<bias_gelu>},
      {"LongtailGeluBiasGrad", {"dy: float", "x: float"}, {"dx: float", "dbias: float"}, {}, kernel<activation_bias_grad<&Kernels::gelu_grad>>},
      {"LongtailBiasGrad", {"dy: float"}, {"dbias: float"}, {}, kernel<bias_grad>},
      {"LongtailGelu", {"x: float"}, {"y: float"}, {}, kernel<gelu>},
      {"LongtailGeluGrad", {"dy: float", "x: float"}, {"dx: float"}, {}, kernel<gelu_grad>},
      {"LongtailSwiglu", {"gate: float", "up: float"}, {"y: float"}, {}, kernel<swiglu>},
      {"LongtailSwigluGrad", {"dy: float", "gate: float", "up: float"}, {"dgate: float", "dup: float"}, {}, kernel<swiglu_grad>},
      {"LongtailLayerNorm", {"x: float", "gain: float", "bias: float"}, {"y: float", "mean: float", "r: float"}, {}, kernel<layer_norm>},
      {"LongtailLayerNormGrad",
       {"dy: float", "x: float", "mean: float", "r: float", "gain: float"},
       {"dx: float", "dgain: float", "dbias: float"},
       {},
       kernel<layer_norm_grad>},
      {"LongtailRmsNorm", {"x: float", "gain: float"}, {"y: float", "r: float"}, {}, kernel<rms_norm>},
      {"LongtailRmsNormGrad",
       {"dy: float", "x: float", "r: float", "gain: float"},
       {"dx: float", "dgain: float"},
       {},
       kernel<rms_norm_grad>},
      {"LongtailCrossEntropy", {"logits: float", "labels: int32"}, {"loss: float", "log_total: float", "best: int32"}, {}, kernel<cross_entropy>},
      {"LongtailCrossEntropyGrad",
       {"dy: float", "logits: float", "log_total: float", "labels: int32"},
       {"dlogits: float"},
       {},
       kernel<cross_entropy_grad>},
      {"LongtailArgMax", {"x: float"}, {"index: int32"}, {}, kernel<arg_max>},
      {"LongtailAttention", {"q: float", "k: float", "v: float"}, {"out: float", "log_total: float"}, {}, kernel<attention>},
      {"LongtailAttentionGrad",
       {"dout: float", "q: float", "k: float", "v: float", "out: float", "log_total: float"},
       {"dq: float", "dk: float", "dv: float"},
       {},
       kernel<attention_grad>},
      {"LongtailProduct", {"a: float", "b: float"}, {"c: float"}, {"transpose_a: bool", "transpose_b: bool"}, kernel<product>},
      {"LongtailSelfAttention", {"qkv: float"}, {"out: float", "log_total: float"}, {"heads: int"}, kernel<self_attention>},
      {"LongtailSelfAttentionGrad",
       {"dout: float", "qkv: float", "out: float", "log_total: float"},
       {"dqkv: float"},
       {"heads: int"},
       kernel<self_attention_grad>},
  };
  return ops;
}

}  // namespace longtail
