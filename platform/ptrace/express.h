// The express path of an address space with one thread: hot call sites of its code are made to jump to the stub's express path,
// which hands a call over through a shared page instead of a stop, when the tracer is there to take it. A call costs less than a
// microsecond then, a stop eight and more.
//
// Guests see nothing of it: registers never show the path (Normalize), copies from code show the original bytes (Unpatch), and
// whatever changes the mapping of patched code restores it first. Tracer thread only.
#pragma once

#include <array>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "abi/regs.h"
#include "base/kern/user_memory.h"
#include "platform/platform.h"
#include "platform/ptrace/call_site.h"
#include "platform/ptrace/express_page.h"
#include "platform/ptrace/stub.h"

namespace moat::ptrace {

class HostThread;
class PtracePlatform;

class Express {
 public:
  explicit Express(PtracePlatform& platform) : platform_(platform) {}

  // A private mapping of a file's code was made, of [start, end).
  void OnCodeMapped(uint64_t start, uint64_t end, int fd, uint64_t offset);
  // The range is about to be changed or to go: code in it gets its own bytes back. `thread` is one of the space's, or null if
  // none is left.
  void BeforeChange(HostThread* thread, uint64_t start, uint64_t end);
  bool Knows(uint64_t start, uint64_t end) const;
  // All code gets its own bytes back, for as long as there is no new hot site.
  void RestoreAll(HostThread& thread);
  // As RestoreAll, for ever.
  void Disable(HostThread& thread);
  // While the space has more than one thread no site is patched.
  void Pause(bool pause) { paused_ = pause; }
  // What `out`, a copy of [addr, addr + size), would be without us.
  void Unpatch(uint64_t addr, std::span<std::byte> out) const;
  // A fork's child: its code is patched as the parent's, but it has no page.
  void CopyTo(Express& child) const;

  // Learns from the call that returns to `ret`; Begin before it is served, End after it was answered at once and `thread` is
  // about to go on. `simple`: nothing was needed but its arguments and its result.
  void Begin(uint64_t ret);
  void End(HostThread& thread, const Trap& trap, bool simple);

  // What the thread posts its calls on; null if it has none yet.
  ExpressPage* page() { return page_ ? &*page_ : nullptr; }
  // Code of the space is changed at present.
  bool patched() const { return !sites_.empty(); }

  // `regs` of a thread that stopped anywhere: on the express path or on the way to it they become what they were before the call,
  // or what they are after it. `taken`: the tracer has taken the call, which is then over (its result is not known yet, rax is
  // -ENOSYS). True if anything changed.
  bool Normalize(abi::UserRegs& regs, bool taken);
  // What a stop behind the express path's own system call returns to; 0 if it was not there.
  uint64_t ReturnOf(uint64_t ip);
  // The trap of a thread without a page that faulted at the path's beginning: its call, with `regs` set as for any other.
  std::optional<Trap> FaultedCall(abi::UserRegs& regs);

 private:
  struct CodeMap {
    uint64_t start, end;
    uint64_t free;     // the first unused byte behind the code
    uint64_t gateway;  // 0: none yet
  };
  struct Site {
    uint64_t ret, nr, trampoline;
    uint64_t trampoline_end;
    std::vector<Edit> edits;  // one: over a mov; two: a gap and the jump to it
  };
  struct Score {
    uint64_t ret = 0;
    int value = 0;
  };

  Score& ScoreOf(uint64_t ret) { return scores_[ret / 2 % scores_.size()]; }
  bool idle() const { return disabled_ || paused_ || maps_.empty(); }
  bool IsPatched(uint64_t ret) const;
  bool Patch(HostThread& thread, uint64_t ret, uint64_t nr);
  bool AddSite(HostThread& thread, CodeMap& map, uint64_t ret, uint64_t nr);
  ErrorOr<void> MakePage(HostThread& thread);
  void RestoreUnhappy(HostThread& thread);
  bool LeaveTheWay(abi::UserRegs& regs) const;
  bool LeaveThePath(abi::UserRegs& regs, ExpressPart part);
  void Complete(abi::UserRegs& regs, uint64_t rax) const;

  PtracePlatform& platform_;
  bool disabled_ = false, paused_ = false;
  bool unhappy_ = false;  // a patched site's calls are no longer simple
  int faulted_calls_ = 0;
  std::optional<ExpressPage> page_;
  std::vector<CodeMap> maps_;
  std::vector<Site> sites_;
  std::array<Score, 64> scores_{};
};

}  // namespace moat::ptrace
