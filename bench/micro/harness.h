// Measures operations. Each runs in a process of its own, so that one that fails or hangs costs one line of the result.
#pragma once

#include <time.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

namespace moat::bench {

inline int64_t NowNs() {
  timespec ts;
  clock_gettime(CLOCK_MONOTONIC, &ts);
  return ts.tv_sec * 1'000'000'000 + ts.tv_nsec;
}

// The clock of one round: an operation sets up, loops while Next(), and cleans up; only the loop is measured.
class Round {
 public:
  explicit Round(long iterations) : left_(iterations) {}
  bool Next() {
    if (start_ == 0) start_ = NowNs();
    if (left_-- > 0) return true;
    end_ = NowNs();
    return false;
  }
  int64_t elapsed_ns() const { return end_ - start_; }

 private:
  long left_;
  int64_t start_ = 0, end_ = 0;
};

struct Operation {
  const char* name;
  void (*run)(Round&);
};

// The operations of one file; each registers them where it is linked.
class Registration {
 public:
  Registration(std::initializer_list<Operation> operations);
};

struct Settings {
  std::string program;        // this program's path, to be executed
  std::string dir = "/tmp";   // for files that are written
};
const Settings& settings();

// Ends the operation's process with a message: its line says "failed".
[[noreturn]] void Fail(const char* what);
inline void Check(bool ok, const char* what) {
  if (!ok) Fail(what);
}

// Keeps `value` computed.
template <class T>
void Keep(const T& value) {
  asm volatile("" : : "g"(value) : "memory");
}

}  // namespace moat::bench
