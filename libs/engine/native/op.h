// What an op of ours needs of TensorFlow's C interface (tensorflow/c/kernels.h): inputs, outputs, attributes, errors.
#pragma once
#include <string>
#include <vector>

#include "tensorflow/c/kernels.h"
#include "tensorflow/c/ops.h"
#include "tensorflow/c/tf_tensor.h"

namespace longtail {

using Shape = std::vector<int64_t>;

/** A tensor that is ours for the time of a call. */
class Tensor {
 public:
  explicit Tensor(TF_Tensor *tensor) : tensor_(tensor) {}
  Tensor(Tensor &&other) noexcept : tensor_(other.tensor_) { other.tensor_ = nullptr; }
  Tensor(const Tensor &) = delete;
  ~Tensor() {
    if (tensor_ != nullptr) TF_DeleteTensor(tensor_);
  }

  float *floats() const { return static_cast<float *>(TF_TensorData(tensor_)); }
  int32_t *ints() const { return static_cast<int32_t *>(TF_TensorData(tensor_)); }
  int64_t size() const { return TF_TensorElementCount(tensor_); }
  int64_t dim(int axis) const { return TF_Dim(tensor_, axis); }
  int64_t last() const { return TF_Dim(tensor_, TF_NumDims(tensor_) - 1); }
  Shape shape() const;

 private:
  TF_Tensor *tensor_;
};

/** One run of an op. */
class Call {
 public:
  explicit Call(TF_OpKernelContext *context) : context_(context) {}
  Tensor input(int index);
  Tensor output(int index, const Shape &shape, TF_DataType type = TF_FLOAT);
  /** In the memory of an input, if nobody else needs it; to be asked for before that input is. */
  Tensor output_over(int input, int index, const Shape &shape);
  int inputs() const { return TF_NumInputs(context_); }
  void fail(const char *message);

 private:
  TF_OpKernelContext *context_;
};

/** Attributes of an op's node; those it does not have are 0. */
struct Attributes {
  float beta1, beta2, decay;
  int32_t heads;
  bool transpose_a, transpose_b;
};

struct Op {
  const char *name;
  /** As in TensorFlow's REGISTER_OP. */
  std::vector<const char *> inputs, outputs, attributes;
  void (*compute)(void *attributes, TF_OpKernelContext *context);
  /** Changes its inputs: not to be merged with an equal one. */
  bool stateful = false;
};

/** A function of ours as TensorFlow calls it. */
template <void (*compute)(Call &, const Attributes &)>
void kernel(void *attributes, TF_OpKernelContext *context) {
  Call call(context);
  compute(call, *static_cast<Attributes *>(attributes));
}

/** Returns an error's message, empty when all went well. */
std::string register_op(const Op &op);

}  // namespace longtail
