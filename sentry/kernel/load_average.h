// The load averages of getloadavg(3): how many tasks ran or waited for a disk, over 1, 5 and 15 minutes.
#pragma once

#include <array>
#include <cstdint>
#include <memory>

#include "base/sync/mutex.h"

namespace moat {

class Kernel;
class Timer;

// Nobody pays for it before somebody asks: the first Read guesses the past from the CPU time used since the start, and begins
// to count tasks every five seconds, as Linux does.
class LoadAverage {
 public:
  explicit LoadAverage(Kernel& kernel);
  ~LoadAverage();

  // In hundredths. On a worker.
  std::array<uint64_t, 3> Read();

 private:
  struct Counts {
    int active = 0;
    uint64_t cpu_ns = 0;
  };
  Counts Count();
  void Sample();

  Kernel& kernel_;
  std::unique_ptr<Timer> timer_;
  Mutex mu_;
  bool started_ MOAT_GUARDED_BY(mu_) = false;
  std::array<double, 3> loads_ MOAT_GUARDED_BY(mu_){};
};

}  // namespace moat
