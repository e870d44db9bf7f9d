#include "sentry/kernel/thread_group.h"

#include <algorithm>

#include "sentry/kernel/kernel.h"
#include "sentry/kernel/timers.h"

namespace moat {

void Usage::Add(const Usage& o) {
  user_ns += o.user_ns;
  system_ns += o.system_ns;
  max_rss_kb = std::max(max_rss_kb, o.max_rss_kb);
  minor_faults += o.minor_faults;
  major_faults += o.major_faults;
  in_blocks += o.in_blocks;
  out_blocks += o.out_blocks;
  voluntary_switches += o.voluntary_switches;
  involuntary_switches += o.involuntary_switches;
}

ThreadGroup::ThreadGroup(Kernel& kernel, int tgid) : kernel_(kernel), tgid_(tgid) {
  for (abi::Rlimit64& limit : rlimits) limit = {abi::kRLIM64_INFINITY, abi::kRLIM64_INFINITY};
}

ThreadGroup::~ThreadGroup() = default;

bool ThreadGroup::TakeSignal(Task& task, abi::SigSet wanted, abi::SigInfo* out) {
  if (!task.pending().Take(wanted, out) && !shared_pending.Take(wanted, out)) return false;
  if (out->si_code == abi::kSI_TIMER && timers) timers->OnDequeue(*out);
  return true;
}

uint64_t ThreadGroup::CpuNs() {
  Ref<MemoryManager> mm;
  uint64_t total = 0;
  bool exclusive = false;
  {
    MutexLock lock(kernel_.tasks_lock);
    MutexLock signal(signal_lock);
    total = dead_threads_usage.user_ns;
    uint32_t users = 0;
    for (Task& t : tasks) {
      total += t.CpuTimeNs() - t.thread_cpu_base_ns;  // the base is in dead_threads_usage already
      if (!t.mm_ref()) continue;
      mm = t.mm_ref();
      ++users;
    }
    exclusive = mm && mm->ref_count() == users + 1;
  }
  // The space's own clock is exact, but it counts everybody who shares the space (a vfork child and its parent).
  if (exclusive) total = cpu_exec_base_ns + mm->space().CpuTimeNs();
  return last_cpu_ns_ = std::max(last_cpu_ns_, total);
}

Usage ThreadGroup::CurrentUsage() {
  uint64_t cpu_ns = CpuNs();
  MutexLock lock(kernel_.tasks_lock);
  MutexLock signal(signal_lock);
  Usage usage = dead_threads_usage;
  usage.user_ns = cpu_ns;
  for (Task& t : tasks) usage.voluntary_switches += t.voluntary_switches.load(std::memory_order_relaxed);
  return usage;
}

}  // namespace moat
