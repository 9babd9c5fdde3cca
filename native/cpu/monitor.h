// A mutex and a condition of the system's own.  std::mutex, std::condition_variable and std::thread
// would bind the library to a C++ run time, and through it to a newer glibc than the code needs.
#pragma once

#include <pthread.h>

namespace flashdec::cpu {

// Default mutexes and conditions do not fail, so nothing is checked.
class Mutex {
 public:
  Mutex() = default;
  Mutex(const Mutex&) = delete;
  Mutex& operator=(const Mutex&) = delete;
  ~Mutex() { pthread_mutex_destroy(&mutex_); }

  void lock() { pthread_mutex_lock(&mutex_); }
  void unlock() { pthread_mutex_unlock(&mutex_); }

 private:
  friend class Waiters;
  pthread_mutex_t mutex_ = PTHREAD_MUTEX_INITIALIZER;
};

class Waiters {
 public:
  Waiters() = default;
  Waiters(const Waiters&) = delete;
  Waiters& operator=(const Waiters&) = delete;
  ~Waiters() { pthread_cond_destroy(&condition_); }

  // The caller has the mutex, and has it again afterwards.
  template <class Condition>
  void wait(Mutex& mutex, Condition condition) {
    while (!condition())
      pthread_cond_wait(&condition_, &mutex.mutex_);
  }
  void notify_one() { pthread_cond_signal(&condition_); }
  void notify_all() { pthread_cond_broadcast(&condition_); }

 private:
  pthread_cond_t condition_ = PTHREAD_COND_INITIALIZER;
};

}  // namespace flashdec::cpu
