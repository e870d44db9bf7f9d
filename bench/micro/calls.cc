// Plain calls: what entering the kernel costs, and little else.
#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <csetjmp>

#include "bench/micro/harness.h"

namespace moat::bench {
namespace {

void Getpid(Round& r) {
  while (r.Next()) syscall(SYS_getpid);
}
void ClockGettime(Round& r) {
  timespec ts;
  while (r.Next()) clock_gettime(CLOCK_MONOTONIC, &ts);
  Keep(ts);
}
void ClockGettimeCall(Round& r) {
  timespec ts;
  while (r.Next()) syscall(SYS_clock_gettime, CLOCK_MONOTONIC, &ts);
}

void OnSignal(int) {}
void Sigaction(Round& r) {
  struct sigaction a = {};
  a.sa_handler = OnSignal;
  while (r.Next()) Check(sigaction(SIGUSR1, &a, nullptr) == 0, "sigaction");
}
void KillSelf(Round& r) {
  struct sigaction a = {};
  a.sa_handler = OnSignal;
  Check(sigaction(SIGUSR1, &a, nullptr) == 0, "sigaction");
  pid_t self = getpid();
  while (r.Next()) Check(kill(self, SIGUSR1) == 0, "kill");
}

// A fault whose handler steps over the instruction: `movb $0, (%rax)` is three bytes long.
void StepOver(int, siginfo_t*, void* context) {
  constexpr long long kFaultLength = 3;
  static_cast<ucontext_t*>(context)->uc_mcontext.gregs[REG_RIP] += kFaultLength;
}
void SegvHandler(Round& r) {
  struct sigaction a = {};
  a.sa_sigaction = StepOver;
  a.sa_flags = SA_SIGINFO;
  Check(sigaction(SIGSEGV, &a, nullptr) == 0, "sigaction");
  while (r.Next()) asm volatile(".byte 0xc6, 0x00, 0x00" : : "a"(0) : "memory");
}

const Registration kRegistered{
    {"getpid", Getpid},       {"clock_gettime", ClockGettime}, {"clock_gettime_call", ClockGettimeCall},
    {"sigaction", Sigaction}, {"kill_self_handler", KillSelf}, {"segv_handler", SegvHandler},
};

}  // namespace
}  // namespace moat::bench
