#include "sentry/kernel/load_average.h"

#include <cmath>

#include "base/fiber/executor.h"
#include "base/host/time.h"
#include "sentry/kernel/kernel.h"

namespace moat {

namespace {

constexpr int64_t kPeriodNs = 5'000'000'000;
constexpr double kMinuteNs = 60e9;
constexpr double kWindowsNs[] = {kMinuteNs, 5 * kMinuteNs, 15 * kMinuteNs};

}  // namespace

LoadAverage::LoadAverage(Kernel& kernel) : kernel_(kernel) {}
LoadAverage::~LoadAverage() = default;

LoadAverage::Counts LoadAverage::Count() {
  Counts out;
  MutexLock lock(kernel_.tasks_lock);
  kernel_.ForEachTask([&](Task& t) {
    if (t.dead()) return;
    out.active += t.state_letter() == 'R' || t.state_letter() == 'D';
    out.cpu_ns += t.CpuTimeNs();
  });
  if (ThreadGroup* init = kernel_.init()) out.cpu_ns += init->children_usage.user_ns + init->children_usage.system_ns;
  return out;
}

void LoadAverage::Sample() {
  int active = Count().active;
  {
    MutexLock lock(mu_);
    for (size_t i = 0; i < loads_.size(); ++i) {
      double kept = std::exp(-static_cast<double>(kPeriodNs) / kWindowsNs[i]);
      loads_[i] = loads_[i] * kept + active * (1 - kept);
    }
  }
  timer_->Arm(host::NowMonotonicNs() + kPeriodNs);
}

std::array<uint64_t, 3> LoadAverage::Read() {
  bool first;
  {
    MutexLock lock(mu_);
    first = !std::exchange(started_, true);
  }
  if (first) {
    double elapsed = static_cast<double>(std::max<int64_t>(host::NowMonotonicNs() - kernel_.boot_monotonic_ns, 1));
    double mean = static_cast<double>(Count().cpu_ns) / elapsed;
    MutexLock lock(mu_);
    for (size_t i = 0; i < loads_.size(); ++i) loads_[i] = mean * (1 - std::exp(-elapsed / kWindowsNs[i]));
    timer_ = std::make_unique<Timer>([this] { Sample(); });
    timer_->Arm(host::NowMonotonicNs() + kPeriodNs);
  }
  std::array<uint64_t, 3> out;
  MutexLock lock(mu_);
  for (size_t i = 0; i < out.size(); ++i) out[i] = static_cast<uint64_t>(loads_[i] * 100 + 0.5);
  return out;
}

}  // namespace moat
