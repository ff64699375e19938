#include "op.h"

namespace longtail {
namespace {

/** Deleted at the end of its scope. */
struct Status {
  TF_Status *status = TF_NewStatus();
  ~Status() { TF_DeleteStatus(status); }
  bool ok() const { return TF_GetCode(status) == TF_OK; }
};

/** Reads an attribute when the op has it. */
template <typename Value, typename Read>
void read(TF_OpKernelConstruction *construction, const char *name, Value *value, Read get) {
  Status status;
  if (TF_OpKernelConstruction_HasAttr(construction, name, status.status) && status.ok()) get(construction, name, value, status.status);
}

void read_flag(TF_OpKernelConstruction *construction, const char *name, bool *value) {
  unsigned char flag = 0;
  read(construction, name, &flag, TF_OpKernelConstruction_GetAttrBool);
  *value = flag != 0;
}

void *create(TF_OpKernelConstruction *construction) {
  auto *attributes = new Attributes{};
  read(construction, "beta1", &attributes->beta1, TF_OpKernelConstruction_GetAttrFloat);
  read(construction, "beta2", &attributes->beta2, TF_OpKernelConstruction_GetAttrFloat);
  read(construction, "decay", &attributes->decay, TF_OpKernelConstruction_GetAttrFloat);
  read(construction, "heads", &attributes->heads, TF_OpKernelConstruction_GetAttrInt32);
  read_flag(construction, "transpose_a", &attributes->transpose_a);
  read_flag(construction, "transpose_b", &attributes->transpose_b);
  return attributes;
}

void destroy(void *attributes) { delete static_cast<Attributes *>(attributes); }

/** A graph wants a shape function; nothing of ours gains by one that knows. */
void infer_nothing(TF_ShapeInferenceContext *context, TF_Status *status) { TF_ShapeInferenceContextSetUnknownShape(context, status); }

}  // namespace

Shape Tensor::shape() const {
  Shape shape(TF_NumDims(tensor_));
  for (size_t i = 0; i < shape.size(); i++) shape[i] = dim(static_cast<int>(i));
  return shape;
}

Tensor Call::input(int index) {
  Status status;
  TF_Tensor *tensor = nullptr;
  TF_GetInput(context_, index, &tensor, status.status);
  return Tensor(tensor);
}

Tensor Call::output(int index, const Shape &shape, TF_DataType type) {
  Status status;
  size_t bytes = TF_DataTypeSize(type);
  for (int64_t size : shape) bytes *= size;
  return Tensor(TF_AllocateOutput(context_, index, type, shape.data(), static_cast<int>(shape.size()), bytes, status.status));
}

Tensor Call::output_over(int input, int index, const Shape &shape) {
  Status status;
  int forwarded = -1;
  return Tensor(TF_ForwardInputOrAllocateOutput(context_, &input, 1, index, shape.data(), static_cast<int>(shape.size()), &forwarded,
                                                status.status));
}

void Call::fail(const char *message) {
  Status status;
  TF_SetStatus(status.status, TF_INVALID_ARGUMENT, message);
  TF_OpKernelContext_Failure(context_, status.status);
}

std::string register_op(const Op &op) {
  Status status;
  TF_OpDefinitionBuilder *definition = TF_NewOpDefinitionBuilder(op.name);
  for (const char *input : op.inputs) TF_OpDefinitionBuilderAddInput(definition, input);
  for (const char *output : op.outputs) TF_OpDefinitionBuilderAddOutput(definition, output);
  for (const char *attribute : op.attributes) TF_OpDefinitionBuilderAddAttr(definition, attribute);
  TF_OpDefinitionBuilderSetIsStateful(definition, op.stateful);
  TF_OpDefinitionBuilderSetShapeInferenceFunction(definition, infer_nothing);
  TF_RegisterOpDefinition(definition, status.status);
  if (!status.ok()) return TF_Message(status.status);
  TF_RegisterKernelBuilder(op.name, TF_NewKernelBuilder(op.name, "CPU", create, op.compute, destroy), status.status);
  return status.ok() ? "" : TF_Message(status.status);
}

}  // namespace longtail
