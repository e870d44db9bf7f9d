#include "platform/ptrace/zygote.h"

#include <cstring>
#include <vector>

#include "abi/mman.h"
#include "abi/poll.h"
#include "abi/prctl.h"
#include "abi/ptrace.h"
#include "abi/regs.h"
#include "abi/signal.h"
#include "abi/socket.h"
#include "abi/wait.h"
#include "base/host/confine.h"
#include "base/host/file.h"
#include "base/host/memory.h"
#include "base/host/poll.h"
#include "base/host/process.h"
#include "base/host/signal.h"
#include "base/host/socket.h"
#include "base/util/log.h"
#include "platform/ptrace/stub_filter.h"

namespace moat::ptrace {
namespace {

constexpr uint64_t kPlacementRange = uint64_t{1} << 30;  // stubs lie in the top GiB: clear of sanitizer shadows and arenas
constexpr int kPlacementTries = 100;
constexpr int kRlimitNofile = 7;
constexpr uint64_t kStubFds = 1 + kMaxMapFds;  // the socket and descriptors in transit

// What the child reports when it is ready or has failed.
struct Report {
  Errno error;
  uint64_t text;
};

uint64_t Pointer(const void* p) { return reinterpret_cast<uint64_t>(p); }
void* Pointer(uint64_t address) { return reinterpret_cast<void*>(address); }

// Maps the stub's pages at a random free place.
ErrorOr<uint64_t> MapStubPages() {
  for (int i = 0; i < kPlacementTries; ++i) {
    uint64_t random;
    TRY(host::Getrandom(&random, sizeof random));
    uint64_t pages = (kPlacementRange - kStubRange) / abi::kPAGE_SIZE;
    uint64_t text = abi::kTASK_SIZE - kPlacementRange + random % pages * abi::kPAGE_SIZE;
    auto mapped = host::Mmap(Pointer(text), kStubSize, abi::kPROT_READ | abi::kPROT_WRITE,
                             abi::kMAP_PRIVATE | abi::kMAP_ANONYMOUS | abi::kMAP_FIXED_NOREPLACE, -1, 0);
    if (mapped.error() == kEEXIST) continue;
    TRY(std::move(mapped));
    memcpy(Pointer(text), StubCode().data(), StubCode().size());
    TRY(host::Mprotect(Pointer(text), abi::kPAGE_SIZE, abi::kPROT_READ | abi::kPROT_EXEC));
    return text;
  }
  return kENOMEM;
}

ErrorOr<void> ResetSignals() {
  for (int signo = 1; signo <= abi::kNSIG; ++signo) {
    if (signo != abi::kSIGKILL && signo != abi::kSIGSTOP) TRY(host::SigActionDefault(signo));
  }
  TRY(host::Sigaltstack(nullptr, 0));
  TRY(host::SigProcMask(abi::kSIG_SETMASK, 0));
  return {};
}

// The child has a copy of the sentry's memory but will run none of it: what it must not have goes here.
ErrorOr<uint64_t> BecomeStub(int socket, bool isolate_branches) {
  TRY(host::Prctl(abi::kPR_SET_DUMPABLE, 1));  // or the sentry, which is not, could not trace it
  TRY(host::Prctl(abi::kPR_SET_NO_NEW_PRIVS, 1));
  TRY(host::Setsid());
  TRY(host::Dup3(socket, 0, 0));
  TRY(host::CloseRange(1, ~0u, 0));
  TRY(ResetSignals());
  host::UnregisterLibcRseq();
  TRY(host::ForbidCoreDumps());
  TRY(host::PrlimitSet(0, kRlimitNofile, {kStubFds, kStubFds}));
  // Not on every CPU, and an outer sandbox may have decided already.
  (void)host::Prctl(abi::kPR_SET_SPECULATION_CTRL, abi::kPR_SPEC_STORE_BYPASS, abi::kPR_SPEC_FORCE_DISABLE);
  if (isolate_branches) {
    (void)host::Prctl(abi::kPR_SET_SPECULATION_CTRL, abi::kPR_SPEC_INDIRECT_BRANCH, abi::kPR_SPEC_FORCE_DISABLE);
  }
  return MapStubPages();
}

[[noreturn]] void ZygoteMain(int socket, bool isolate_branches) {
  ErrorOr<uint64_t> text = BecomeStub(socket, isolate_branches);
  Report report{text.error(), text.ok() ? *text : 0};
  (void)host::Write(0, &report, sizeof report);
  char go;
  if (!text.ok() || host::Read(0, &go, 1).error() != Errno{0}) host::ExitGroup(1);
  std::vector<abi::SockFilter> filter = CompileStubFilter(*text);
  if (!host::SeccompSetModeFilter(0, filter).ok()) host::ExitGroup(1);
  reinterpret_cast<void (*)()>(StubLayout{*text}.Address(StubEntry::kStart))();
  __builtin_unreachable();
}

ErrorOr<void> AwaitStart(const Zygote& zygote) {
  int status = 0;
  TRY(host::Wait4(zygote.pid, &status, abi::kWALL));
  abi::UserRegs regs;
  if (!abi::WaitIfStopped(status) || abi::WaitStopSig(status) != abi::kSIGTRAP) return kECHILD;
  TRY(host::Ptrace(abi::kPTRACE_GETREGS, zygote.pid, 0, Pointer(&regs)));
  return zygote.layout.IsEnd(regs.rip) ? ErrorOr<void>{} : kECHILD;
}

// Its end of the socket is open here as well: that a zygote was killed before it could report shows nowhere on the socket.
ErrorOr<void> AwaitReport(const Zygote& zygote) {
  UniqueFd process = TRY(host::PidfdOpen(zygote.pid, 0));
  abi::Pollfd fds[] = {{zygote.socket.get(), abi::kPOLLIN, 0}, {process.get(), abi::kPOLLIN, 0}};
  ErrorOr<size_t> ready = kEINTR;
  while (ready.error() == kEINTR) ready = host::Ppoll(fds, 2, nullptr);
  TRY(std::move(ready));
  return fds[0].revents != 0 ? ErrorOr<void>{} : kECHILD;
}

ErrorOr<void> Seize(Zygote& zygote) {
  TRY(AwaitReport(zygote));
  Report report{};
  size_t got = TRY(host::Read(zygote.socket.get(), &report, sizeof report));
  if (got != sizeof report) return kECHILD;
  if (report.error != Errno{0}) return report.error;
  zygote.layout.text = report.text;
  TRY(host::Ptrace(abi::kPTRACE_SEIZE, zygote.pid, 0,
                   abi::kPTRACE_O_EXITKILL | abi::kPTRACE_O_TRACESYSGOOD | abi::kPTRACE_O_TRACECLONE |
                       abi::kPTRACE_O_TRACEFORK | abi::kPTRACE_O_TRACEVFORK));
  TRY(host::Write(zygote.socket.get(), "", 1));
  return AwaitStart(zygote);
}

}  // namespace

ErrorOr<Zygote> StartZygote(bool isolate_branches) {
  Zygote zygote;
  host::SocketPair pair = TRY(host::Socketpair(abi::kAF_UNIX, abi::kSOCK_SEQPACKET | abi::kSOCK_CLOEXEC, 0));
  zygote.socket = std::move(pair.first);
  zygote.stub_end = std::move(pair.second);
  zygote.pid = TRY(host::Fork(0));
  if (zygote.pid == 0) ZygoteMain(zygote.stub_end.get(), isolate_branches);
  ErrorOr<void> ready = Seize(zygote);
  if (ready.ok()) return zygote;
  LOG(kError, "ptrace: the zygote did not start: errno %d", static_cast<int>(ready.error()));
  (void)host::Kill(zygote.pid, abi::kSIGKILL);
  int status;
  (void)host::Wait4(zygote.pid, &status, abi::kWALL);
  return ready.error();
}

}  // namespace moat::ptrace
