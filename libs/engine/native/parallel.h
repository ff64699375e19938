#pragma once
#include <cstdint>

namespace longtail {

/** Threads that compute, the caller's included: TF_NUM_INTRAOP_THREADS, which TensorFlow itself reads, else one a core. */
int threads();

/** Calls body(context, task) for each task, on several threads when they are free; returns when all are done. */
void run_tasks(int64_t tasks, void (*body)(void *context, int64_t task), void *context);

/** Calls f(from, to, task) for `tasks` ranges that make up [0, count). */
template <typename F>
void for_ranges(int64_t count, int64_t tasks, F f) {
  struct Ranges {
    int64_t count, tasks;
    F &f;
  } ranges{count, tasks, f};
  run_tasks(
      tasks,
      [](void *context, int64_t task) {
        auto &[count, tasks, f] = *static_cast<Ranges *>(context);
        f(count * task / tasks, count * (task + 1) / tasks, task);
      },
      &ranges);
}

}  // namespace longtail
