// Threads that are joined at the end of a scope, and waiting until one sleeps in the kernel.
#pragma once

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <atomic>
#include <functional>
#include <string>
#include <thread>
#include <utility>

namespace moat::test {

inline void SleepMs(int ms) {
  timespec left = {ms / 1000, (ms % 1000) * 1000000L};
  while (nanosleep(&left, &left) != 0) {
  }
}

// CLOCK_MONOTONIC in nanoseconds.
inline long MonotonicNs() {
  timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec * 1000000000L + now.tv_nsec;
}

// The state letter ('R', 'S', 'Z', ...) in the stat file of a process or thread, or 0 if it is gone.
// `stat_path` is
// "/proc/PID/stat" or "/proc/PID/task/TID/stat".
inline char StateOf(const std::string& stat_path) {
  const int fd = open(stat_path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return 0;
  char buf[512] = {};
  const ssize_t n = read(fd, buf, sizeof(buf) - 1);
  close(fd);
  const char* paren = n > 0 ? strrchr(buf, ')') : nullptr;
  return paren && paren[1] ? paren[2] : 0;
}

// Waits until the process `pid` (or its thread `tid`) sleeps, so that "it blocks" is very likely established;
// gives up silently after two seconds. A test must be right, if weaker, when it returns too early.
inline void WaitUntilAsleep(pid_t pid, pid_t tid = 0) {
  const std::string path =
      "/proc/" + std::to_string(pid) + (tid ? "/task/" + std::to_string(tid) : std::string()) + "/stat";
  for (int i = 0; i < 1000; ++i) {
    SleepMs(2);
    if (StateOf(path) == 'S') return;
  }
}

// A thread joined at destruction, or by Join.
class ScopedThread {
 public:
  explicit ScopedThread(std::function<void()> fn)
      : thread_([this, fn = std::move(fn)] {
          tid_ = gettid();
          fn();
        }) {}
  ScopedThread(const ScopedThread&) = delete;
  ScopedThread& operator=(const ScopedThread&) = delete;
  ~ScopedThread() { Join(); }

  void Join() {
    if (thread_.joinable()) thread_.join();
  }
  // Its kernel thread id; waits for the thread to start.
  pid_t tid() const {
    while (tid_ == 0) SleepMs(1);
    return tid_;
  }
  pthread_t handle() { return thread_.native_handle(); }
  // See WaitUntilAsleep.
  void WaitUntilAsleep() const { test::WaitUntilAsleep(getpid(), tid()); }

 private:
  std::atomic<pid_t> tid_{0};
  std::thread thread_;
};

}  // namespace moat::test
