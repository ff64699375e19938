#include "parallel.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdlib>
#include <mutex>
#include <thread>

namespace longtail {
namespace {

/** Before a caller that waits for a helper's last task lets others run. */
constexpr int kSpins = 400;
/** That a helper looks out for the next op before it sleeps: to be woken takes longer than most gaps between ops and steps. */
constexpr std::chrono::microseconds kAwake(1000);
/** Between two times that it lets others run: oneDNN's threads have its core while they compute a convolution. */
constexpr int kPauses = 32;

void pause() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

/**
 * Threads that help a caller with its tasks. A task is taken by whoever comes first; a caller never waits for a helper
 * that has not begun, and works alone while another caller has the helpers. TensorFlow's own pool is out of reach of its
 * C interface.
 */
class Helpers {
 public:
  explicit Helpers(int count) {
    // Never joined: they end with the process.
    for (int i = 0; i < count; i++) std::thread([this] { help(); }).detach();
  }

  void run(int64_t tasks, void (*body)(void *, int64_t), void *context) {
    std::unique_lock<std::mutex> turn(turn_, std::try_to_lock);
    if (!turn.owns_lock()) {
      for (int64_t task = 0; task < tasks; task++) body(context, task);
      return;
    }
    tasks_ = tasks;
    body_ = body;
    context_ = context;
    next_.store(0, std::memory_order_relaxed);
    state_.store(kOpen, std::memory_order_seq_cst);
    round_.fetch_add(1, std::memory_order_seq_cst);
    if (sleepers_.load(std::memory_order_seq_cst) > 0) {
      std::lock_guard<std::mutex> lock(sleep_);
      wake_.notify_all();
    }
    work();
    state_.fetch_and(~kOpen, std::memory_order_acq_rel);
    for (int i = 0; state_.load(std::memory_order_acquire) != 0; i++) i < kSpins ? pause() : std::this_thread::yield();
  }

 private:
  /** In `state_` beside the count of helpers at work. */
  static constexpr uint32_t kOpen = 1u << 31;

  void work() {
    for (int64_t task = next_.fetch_add(1, std::memory_order_relaxed); task < tasks_; task = next_.fetch_add(1, std::memory_order_relaxed))
      body_(context_, task);
  }

  void help() {
    for (uint64_t seen = 0;;) {
      seen = await(seen);
      uint32_t state = state_.load(std::memory_order_acquire);
      while ((state & kOpen) != 0 && !state_.compare_exchange_weak(state, state + 1, std::memory_order_acq_rel)) {
      }
      if ((state & kOpen) == 0) continue;
      work();
      state_.fetch_sub(1, std::memory_order_acq_rel);
    }
  }

  /** Waits for a round after the one that was seen: awake for a while, but behind all others, then asleep. */
  uint64_t await(uint64_t seen) {
    using Clock = std::chrono::steady_clock;
    for (const Clock::time_point end = Clock::now() + kAwake; Clock::now() < end; std::this_thread::yield()) {
      for (int i = 0; i < kPauses; i++, pause()) {
        const uint64_t round = round_.load(std::memory_order_acquire);
        if (round != seen) return round;
      }
    }
    std::unique_lock<std::mutex> lock(sleep_);
    sleepers_.fetch_add(1, std::memory_order_seq_cst);
    wake_.wait(lock, [&] { return round_.load(std::memory_order_seq_cst) != seen; });
    sleepers_.fetch_sub(1, std::memory_order_seq_cst);
    return round_.load(std::memory_order_acquire);
  }

  std::mutex turn_, sleep_;
  std::condition_variable wake_;
  std::atomic<uint64_t> round_{0};
  std::atomic<int> sleepers_{0};
  std::atomic<uint32_t> state_{0};
  std::atomic<int64_t> next_{0};
  int64_t tasks_ = 0;
  void (*body_)(void *, int64_t) = nullptr;
  void *context_ = nullptr;
};

}  // namespace

int threads() {
  static const int count = [] {
    const char *given = std::getenv("TF_NUM_INTRAOP_THREADS");
    const int wanted = given == nullptr ? 0 : std::atoi(given);
    return wanted > 0 ? wanted : static_cast<int>(std::max(1u, std::thread::hardware_concurrency()));
  }();
  return count;
}

void run_tasks(int64_t tasks, void (*body)(void *, int64_t), void *context) {
  if (threads() == 1 || tasks == 1) {
    for (int64_t task = 0; task < tasks; task++) body(context, task);
    return;
  }
  static Helpers &helpers = *new Helpers(threads() - 1);
  helpers.run(tasks, body, context);
}

}  // namespace longtail
