#include "base/host/signal.h"

#include "abi/syscall_nr.h"
#include "abi/time.h"
#include "base/host/raw.h"

// Where a handler returns to: rt_sigreturn(2). The kernel demands a restorer on x86-64.
asm(R"(
.pushsection .text
.hidden moat_host_sigreturn
.globl moat_host_sigreturn
.type moat_host_sigreturn, @function
moat_host_sigreturn:
  movl $15, %eax
  syscall
.size moat_host_sigreturn, . - moat_host_sigreturn
.popsection
)");
extern "C" void moat_host_sigreturn();

namespace moat::host {

namespace {
constexpr size_t kSigsetSize = sizeof(uint64_t);
// struct kernel_sigaction of x86-64.
struct KernelAction {
  uint64_t handler;
  uint64_t flags;
  uint64_t restorer;
  uint64_t mask;
};
ErrorOr<void> Install(int signo, const KernelAction& action) {
  return Call<void>(abi::kNr_rt_sigaction, signo, &action, nullptr, kSigsetSize);
}
}  // namespace

ErrorOr<void> SigAction(int signo, SignalHandler handler, uint64_t flags, uint64_t mask) {
  return Install(signo, {reinterpret_cast<uint64_t>(handler), flags | abi::kSA_SIGINFO | abi::kSA_RESTORER,
                         reinterpret_cast<uint64_t>(&moat_host_sigreturn), mask});
}
ErrorOr<void> SigActionDefault(int signo) { return Install(signo, {0, 0, 0, 0}); }
ErrorOr<void> SigActionIgnore(int signo) { return Install(signo, {1, 0, 0, 0}); }
bool SigActionIsIgnored(int signo) {
  KernelAction action{};
  return Call<void>(abi::kNr_rt_sigaction, signo, nullptr, &action, kSigsetSize).ok() && action.handler == 1;
}
ErrorOr<uint64_t> SigProcMask(int how, uint64_t mask) {
  uint64_t old = 0;
  TRY(Call<void>(abi::kNr_rt_sigprocmask, how, &mask, &old, kSigsetSize));
  return old;
}
uint64_t BlockAllSignals() { return *SigProcMask(abi::kSIG_SETMASK, ~uint64_t{0}); }
ErrorOr<void> Sigaltstack(void* stack, size_t size) {
  abi::StackT s{};
  s.ss_sp = reinterpret_cast<uint64_t>(stack);
  s.ss_size = size;
  s.ss_flags = size ? 0 : static_cast<int32_t>(abi::kSS_DISABLE);
  return Call<void>(abi::kNr_sigaltstack, &s, nullptr);
}
ErrorOr<int> SigTimedWait(uint64_t mask, abi::SigInfo* info, int64_t timeout_ns) {
  abi::Timespec timeout{timeout_ns / abi::kNSEC_PER_SEC, timeout_ns % abi::kNSEC_PER_SEC};
  return Call<int>(abi::kNr_rt_sigtimedwait, &mask, info, timeout_ns < 0 ? nullptr : &timeout, kSigsetSize);
}

}  // namespace moat::host
