// What the binding makes its sessions with, in place of TF_NewSessionOptions: it has no way to tell TensorFlow anything.
#include "tensorflow/c/c_api.h"

extern "C" TF_SessionOptions* longtail_new_session_options() {
  // A ConfigProto: graph_options (10) { rewrite_options (10) { disable_meta_optimizer (19): true } }.
  // The graphs come merged, with fused ops; to rewrite each when it first runs takes longer than that run, and saves later ones nothing.
  static const unsigned char config[] = {10 << 3 | 2, 5, 10 << 3 | 2, 3, (19 << 3 & 0x7f) | 0x80, 19 << 3 >> 7, 1};
  TF_SessionOptions* options = TF_NewSessionOptions();
  TF_Status* status = TF_NewStatus();
  TF_SetConfig(options, config, sizeof config, status);
  TF_DeleteStatus(status);
  return options;
}
