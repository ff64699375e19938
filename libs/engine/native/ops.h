#pragma once
#include <vector>

#include "op.h"

namespace longtail {

/** The fused ops; libs/engine/src/tensorflow/fused-ops.ts is what calls them. All are float32. */
const std::vector<Op> &all_ops();

}  // namespace longtail
