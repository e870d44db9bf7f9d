#include "platform/ptrace/wait_window.h"

#include "abi/sigframe.h"
#include "abi/time.h"
#include "abi/wait.h"
#include "base/host/process.h"
#include "base/host/signal.h"
#include "base/host/time.h"
#include "base/util/sanitizers.h"

extern "C" {
long moat_ptrace_wait4(int pid, int* status, int options, const int* kicked);
extern const char moat_ptrace_wait4_begin[], moat_ptrace_wait4_end[], moat_ptrace_wait4_kicked[];
}

namespace moat::ptrace {
namespace {

int g_kicked = 0;  // by atomic builtins: inlined everywhere


// May interrupt a sanitizer's runtime, so it must not call it.
MOAT_UNINSTRUMENTED void OnKick(int, abi::SigInfo*, void* context) {
  __atomic_store_n(&g_kicked, 1, __ATOMIC_RELAXED);
  uint64_t& ip = static_cast<abi::UContext*>(context)->uc_mcontext.rip;
  if (ip >= reinterpret_cast<uint64_t>(moat_ptrace_wait4_begin) && ip < reinterpret_cast<uint64_t>(moat_ptrace_wait4_end)) {
    ip = reinterpret_cast<uint64_t>(moat_ptrace_wait4_kicked);
  }
}

}  // namespace

ErrorOr<void> InstallKickHandler() { return host::SigAction(kKickSignal, OnKick, 0, 0); }

ErrorOr<int> WaitOrKick(int pid, int* status) {
  long result = moat_ptrace_wait4(pid, status, static_cast<int>(abi::kWALL), &g_kicked);
  if (result < 0) return Errno{static_cast<uint16_t>(-result)};
  return static_cast<int>(result);
}

bool Kicked() { return __atomic_load_n(&g_kicked, __ATOMIC_RELAXED) != 0; }
void ClearKick() { __atomic_store_n(&g_kicked, 0, __ATOMIC_SEQ_CST); }

ErrorOr<void> Alarm::Create() {
  timer_ = TRY(host::TimerCreate(abi::kCLOCK_MONOTONIC, host::Gettid(), kKickSignal, 0));
  return {};
}

void Alarm::EnsureBy(int64_t deadline_ns) {
  if (armed_ns_ <= deadline_ns) return;
  armed_ns_ = deadline_ns;
  abi::Itimerspec value{};
  value.it_value.tv_sec = deadline_ns / abi::kNSEC_PER_SEC;
  value.it_value.tv_nsec = deadline_ns % abi::kNSEC_PER_SEC;
  if (deadline_ns <= 0) value.it_value.tv_nsec = 1;  // 0 would disarm it
  (void)host::TimerSettime(timer_, abi::kTIMER_ABSTIME, value);
}

}  // namespace moat::ptrace
