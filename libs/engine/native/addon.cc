// A Node addon whose loading makes the ops known to TensorFlow, and TensorFlow quiet. It is linked with
// libtensorflow_framework only and loaded before the binding, which brings libtensorflow_cc. It exports `instructions`,
// the set that its kernels use, and the count of `threads`.
#include <dlfcn.h>
#include <node_api.h>

#include <cstdlib>
#include <mutex>
#include <string>

#include "kernels.h"
#include "ops.h"
#include "parallel.h"

/**
 * abseil's, which decides what TensorFlow logs, in TensorFlow's stead: the loader finds ours first. TensorFlow's own reads
 * TF_CPP_MIN_LOG_LEVEL only after it has logged, from initialisers that run before any other code could set the level.
 * The name holds abseil's version: in another one nobody calls this.
 */
namespace absl {
inline namespace lts_20250814 {
enum class LogSeverityAtLeast : int;

LogSeverityAtLeast MinLogLevel() {
  static const char *level = std::getenv("TF_CPP_MIN_LOG_LEVEL");
  return static_cast<LogSeverityAtLeast>(level == nullptr ? 0 : std::atoi(level));
}
}  // namespace lts_20250814
}  // namespace absl

namespace {

/** Node unloads an addon with the worker thread that loaded it last, but TensorFlow keeps what is registered. */
void stay_loaded() {
  Dl_info self;
  if (dladdr(reinterpret_cast<void *>(&stay_loaded), &self) != 0) dlopen(self.dli_fname, RTLD_LAZY | RTLD_NODELETE);
}

/** Once in a process: each worker thread of Node's loads the addon anew. */
const std::string &register_all() {
  static std::once_flag once;
  static std::string error;
  std::call_once(once, [] {
    stay_loaded();
    for (const longtail::Op &op : longtail::all_ops()) {
      error = longtail::register_op(op);
      if (!error.empty()) return;
    }
  });
  return error;
}

napi_value initialize(napi_env env, napi_value exports) {
  const std::string &error = register_all();
  if (!error.empty()) napi_throw_error(env, nullptr, error.c_str());
  napi_value instructions;
  napi_create_string_utf8(env, longtail::kernels().instructions, NAPI_AUTO_LENGTH, &instructions);
  napi_set_named_property(env, exports, "instructions", instructions);
  napi_value threads;
  napi_create_int32(env, longtail::threads(), &threads);
  napi_set_named_property(env, exports, "threads", threads);
  return exports;
}

}  // namespace

NAPI_MODULE(longtail_ops, initialize)
