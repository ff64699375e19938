#include "kernels.h"

#if defined(__x86_64__)
extern const longtail::Kernels kernels_avx512, kernels_avx2, kernels_any;

static const longtail::Kernels &best() {
  __builtin_cpu_init();
  if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl")) return kernels_avx512;
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) return kernels_avx2;
  return kernels_any;
}
#else
extern const longtail::Kernels kernels_any;

static const longtail::Kernels &best() { return kernels_any; }
#endif

const longtail::Kernels &longtail::kernels() {
  static const Kernels &chosen = best();
  return chosen;
}
