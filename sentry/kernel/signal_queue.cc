#include "sentry/kernel/signal_queue.h"

#include <algorithm>

#include "base/util/check.h"

namespace moat {

namespace {
// Delivered before all others: the instruction that caused them must not run on (kernel/signal.c, SYNCHRONOUS_MASK).
constexpr abi::SigSet kSynchronous = abi::SigMask(abi::kSIGSEGV) | abi::SigMask(abi::kSIGBUS) |
                                     abi::SigMask(abi::kSIGILL) | abi::SigMask(abi::kSIGTRAP) |
                                     abi::SigMask(abi::kSIGFPE) | abi::SigMask(abi::kSIGSYS);

int LowestSignal(abi::SigSet set) { return __builtin_ctzll(set) + 1; }
}  // namespace

bool PendingSignals::Add(const abi::SigInfo& info) {
  CHECK(info.si_signo >= 1 && info.si_signo <= abi::kNSIG);  // it becomes an index
  abi::SigSet bit = abi::SigMask(info.si_signo);
  if (info.si_signo < abi::kSIGRTMIN && (set_ & bit)) return false;
  set_ |= bit;
  queue_.push_back(info);
  return true;
}

bool PendingSignals::Take(abi::SigSet wanted, abi::SigInfo* out) {
  abi::SigSet ready = set_ & wanted;
  if (!ready) return false;
  int signo = LowestSignal(ready & kSynchronous ? ready & kSynchronous : ready);
  auto is_it = [signo](const abi::SigInfo& i) { return i.si_signo == signo; };
  auto it = std::find_if(queue_.begin(), queue_.end(), is_it);
  *out = *it;
  queue_.erase(it);
  if (std::none_of(queue_.begin(), queue_.end(), is_it)) set_ &= ~abi::SigMask(signo);
  return true;
}

void PendingSignals::Discard(abi::SigSet set) {
  if (!(set_ & set)) return;
  std::erase_if(queue_, [set](const abi::SigInfo& i) { return (abi::SigMask(i.si_signo) & set) != 0; });
  set_ &= ~set;
}

bool SignalActions::Ignored(int signo) {
  uint64_t handler = of(signo).sa_handler;
  if (handler == abi::kSIG_IGN) return true;
  return handler == abi::kSIG_DFL && DefaultActionOf(signo) == DefaultAction::kIgnore;
}

void SignalActions::ResetForExec() {
  for (abi::Sigaction& a : actions) {
    uint64_t kept = a.sa_handler == abi::kSIG_IGN ? abi::kSIG_IGN : abi::kSIG_DFL;
    a = {};
    a.sa_handler = kept;
  }
}

DefaultAction DefaultActionOf(int signo) {
  switch (signo) {
    case abi::kSIGCHLD: case abi::kSIGURG: case abi::kSIGWINCH:
      return DefaultAction::kIgnore;
    case abi::kSIGCONT:
      return DefaultAction::kContinue;
    case abi::kSIGSTOP: case abi::kSIGTSTP: case abi::kSIGTTIN: case abi::kSIGTTOU:
      return DefaultAction::kStop;
    case abi::kSIGQUIT: case abi::kSIGILL: case abi::kSIGTRAP: case abi::kSIGABRT: case abi::kSIGBUS:
    case abi::kSIGFPE: case abi::kSIGSEGV: case abi::kSIGXCPU: case abi::kSIGXFSZ: case abi::kSIGSYS:
      return DefaultAction::kCore;
    default:
      return DefaultAction::kTerminate;
  }
}

abi::SigInfo MakeSigInfo(int signo, int code) {
  abi::SigInfo info{};
  info.si_signo = signo;
  info.si_code = code;
  return info;
}

}  // namespace moat
