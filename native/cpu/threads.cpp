// One job at a time.  Workers take tickets to join it: when the items are gone the caller tears up
// the tickets that are left, so it never waits for a worker that is still waking up.
//
// Workers spin for a moment after a job, since the next one (the combine, the next layer) mostly
// follows at once, then sleep.

#include "cpu/threads.h"

#include <pthread.h>
#include <signal.h>
#include <time.h>

#include <atomic>
#include <mutex>

#include "cpu/callers_threads.h"
#include "cpu/float_mode.h"
#include "cpu/monitor.h"

namespace flashdec::cpu {
namespace {

constexpr int kFaults[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP};

constexpr int64_t kSpin = 50 * 1000;  // ns

void pause() {
#if FLASHDEC_X86
  __builtin_ia32_pause();
#elif FLASHDEC_ARM64
  __asm__ volatile("yield" ::: "memory");
#else
  std::atomic_signal_fence(std::memory_order_seq_cst);
#endif
}

int64_t now() {
  timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return time.tv_sec * int64_t{1000000000} + time.tv_nsec;
}

template <class Condition>
bool spin_until(Condition condition) {
  const int64_t limit = now() + kSpin;
  do {
    for (int i = 0; i < 64; ++i) {
      if (condition()) return true;
      pause();
    }
  } while (now() < limit);
  return false;
}

class Pool {
 public:
  // False if another caller has the pool.
  bool run(uint32_t threads, int64_t items, ItemFunction function, const void* context) {
    if (busy_.exchange(true, std::memory_order_acquire)) return false;
    grow(threads - 1);
    open_job(threads - 1, items, function, context);
    take_items();
    close_job();
    busy_.store(false, std::memory_order_release);
    return true;
  }

 private:
  // Signals are the business of the application's threads: workers take none but those of faults.
  void grow(uint32_t wanted) {
    if (workers_ >= wanted) return;
    sigset_t blocked, before;
    sigfillset(&blocked);
    for (int fault : kFaults)
      sigdelset(&blocked, fault);
    pthread_sigmask(SIG_SETMASK, &blocked, &before);
    start_workers(wanted);
    pthread_sigmask(SIG_SETMASK, &before, nullptr);
  }

  void start_workers(uint32_t wanted) {
    const auto work = [](void* pool) -> void* { static_cast<Pool*>(pool)->work(); };
    while (workers_ < wanted) {
      pthread_t worker;
      // No more threads, or no memory for one: fewer do the same work.
      if (pthread_create(&worker, nullptr, work, this) != 0) return;
      pthread_detach(worker);
      ++workers_;
    }
  }

  void open_job(uint32_t tickets, int64_t items, ItemFunction function, const void* context) {
    {
      const std::lock_guard<Mutex> lock(mutex_);
      function_ = function;
      context_ = context;
      items_ = items;
      next_.store(0, std::memory_order_relaxed);
      tickets_ = tickets;
      generation_.fetch_add(1, std::memory_order_release);
    }
    wake_.notify_all();
  }

  void take_items() {
    int64_t index = next_.fetch_add(1, std::memory_order_relaxed);
    while (index < items_) {
      const int64_t after = next_.fetch_add(1, std::memory_order_relaxed);
      function_(context_, index, after);
      index = after;
    }
  }

  void close_job() {
    {
      const std::lock_guard<Mutex> lock(mutex_);
      tickets_ = 0;
    }
    const auto finished = [this] { return running_.load(std::memory_order_acquire) == 0; };
    if (spin_until(finished)) return;
    const std::lock_guard<Mutex> lock(mutex_);
    done_.wait(mutex_, finished);
  }

  // Waits for a job later than `seen` and joins it if a ticket is left; returns its generation.
  uint64_t join_next_job(uint64_t seen, bool* joined) {
    const auto changed = [&] { return generation_.load(std::memory_order_acquire) != seen; };
    spin_until(changed);
    const std::lock_guard<Mutex> lock(mutex_);
    wake_.wait(mutex_, changed);
    *joined = tickets_ > 0;
    if (*joined) {
      --tickets_;
      running_.fetch_add(1, std::memory_order_relaxed);
    }
    return generation_.load(std::memory_order_relaxed);
  }

  void leave_job() {
    const std::lock_guard<Mutex> lock(mutex_);
    if (running_.fetch_sub(1, std::memory_order_release) == 1) done_.notify_one();
  }

  [[noreturn]] void work() {
    const DefaultFloatMode mode;  // for good: the thread that made this one may have had another
    for (uint64_t seen = 0;;) {
      bool joined;
      seen = join_next_job(seen, &joined);
      if (!joined) continue;
      take_items();
      leave_job();
    }
  }

  std::atomic<bool> busy_{false};
  uint32_t workers_ = 0;  // only the caller that has the pool touches it
  Mutex mutex_;
  Waiters wake_;
  Waiters done_;
  std::atomic<uint64_t> generation_{0};
  uint32_t tickets_ = 0;
  std::atomic<uint32_t> running_{0};
  std::atomic<int64_t> next_{0};
  int64_t items_ = 0;
  ItemFunction function_ = nullptr;
  const void* context_ = nullptr;
};

// Never destroyed: its threads may outlive every static object.  Another one takes its place in the
// child of a fork, which has none of the threads and maybe a mutex that nobody will unlock.
std::atomic<Pool*> the_pool{nullptr};

void forget_pool() {
  the_pool.store(nullptr, std::memory_order_relaxed);
}

Pool& pool() {
  static const int registered = pthread_atfork(nullptr, nullptr, forget_pool);
  static_cast<void>(registered);
  Pool* current = the_pool.load(std::memory_order_acquire);
  if (current != nullptr) return *current;
  Pool* fresh = new Pool;
  if (the_pool.compare_exchange_strong(current, fresh, std::memory_order_acq_rel)) return *fresh;
  delete fresh;
  return *current;
}

}  // namespace

void parallel_for(uint32_t threads, int64_t items, ItemFunction function, const void* context) {
  if (items < threads) threads = static_cast<uint32_t>(items);
  if (threads > 1 && on_callers_threads(threads, items, function, context)) return;
  const DefaultFloatMode mode;
  if (threads > 1 && pool().run(threads, items, function, context)) return;
  for (int64_t i = 0; i < items; ++i)
    function(context, i, i + 1);
}

}  // namespace flashdec::cpu
