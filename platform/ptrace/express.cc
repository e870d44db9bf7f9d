#include "platform/ptrace/express.h"

#include <algorithm>
#include <cstring>

#include "abi/fcntl.h"
#include "abi/mman.h"
#include "abi/ptrace.h"
#include "abi/syscall_nr.h"
#include "abi/uio.h"
#include "base/host/file.h"
#include "base/host/process.h"
#include "base/util/log.h"
#include "platform/ptrace/host_thread.h"
#include "platform/ptrace/ptrace_platform.h"

namespace moat::ptrace {
namespace {

// A site is patched after this many simple calls more than a third of the others, and left alone when these prevail.
constexpr int kHot = 32, kUnhappy = -32, kHopeless = -1'000'000;
constexpr int kCharge = 3;
// A forked child gets a page of its own after so many calls that wanted one.
constexpr int kWantsPage = 16;
constexpr size_t kElfHeadBytes = 1024;  // the file's header and its program headers
constexpr uint64_t kWord = sizeof(uint64_t);

uint64_t Pointer(const void* p) { return reinterpret_cast<uint64_t>(p); }

constexpr uint64_t PageDown(uint64_t addr) { return addr & ~(abi::kPAGE_SIZE - 1); }

bool Overlap(uint64_t a, uint64_t a_end, uint64_t b, uint64_t b_end) { return a < b_end && b < a_end; }

bool ReadCode(HostThread& thread, uint64_t addr, void* out, size_t size) {
  abi::Iovec local{Pointer(out), size}, remote{addr, size};
  ErrorOr<size_t> got = host::ProcessVmReadv(thread.tgid(), &local, 1, &remote, 1);
  return got.ok() && *got == size;
}

// Code is not writable, but for a tracer it is.
bool WriteCode(HostThread& thread, uint64_t addr, std::span<const uint8_t> bytes) {
  const uint64_t end = addr + bytes.size();
  for (uint64_t at = addr & ~(kWord - 1); at < end; at += kWord) {
    uint64_t word;
    if (!ReadCode(thread, at, &word, sizeof word)) return false;
    auto* raw = reinterpret_cast<uint8_t*>(&word);
    for (uint64_t i = std::max(at, addr); i < std::min(at + kWord, end); ++i) raw[i - at] = bytes[i - addr];
    if (!host::Ptrace(abi::kPTRACE_POKETEXT, thread.tid(), at, word).ok()) return false;
  }
  return true;
}

void Undo(HostThread& thread, const std::vector<Edit>& edits) {
  for (auto edit = edits.rbegin(); edit != edits.rend(); ++edit) {
    (void)WriteCode(thread, edit->addr, {edit->before.data(), edit->size});
  }
}

// The file's beginning if that needs no waiting for a disk or a server: a loader has just read it.
ErrorOr<size_t> ReadAtOnce(int fd, std::span<uint8_t> out) {
  abi::Iovec iov{Pointer(out.data()), out.size()};
  ErrorOr<size_t> got = host::Preadv2(fd, &iov, 1, 0, abi::kRWF_NOWAIT);
  const bool is_memory = got.error() == kEOPNOTSUPP && host::FcntlGetSeals(fd).ok();
  return is_memory ? host::Pread(fd, out.data(), out.size(), 0) : got;
}

// Back to the call's own instruction.
bool Rewind(abi::UserRegs& regs, uint64_t ret) {
  regs.rip = ret - 2;
  return true;
}

}  // namespace

void Express::OnCodeMapped(uint64_t start, uint64_t end, int fd, uint64_t offset) {
  if (disabled_ || !platform_.poller().possible()) return;
  uint8_t head[kElfHeadBytes];
  ErrorOr<size_t> got = ReadAtOnce(fd, head);
  if (!got.ok()) return;
  std::optional<uint64_t> length = CodeLength({head, *got}, offset, end - start);
  if (!length) return;
  const uint64_t code_end = start + *length;
  maps_.push_back({.start = start, .end = PageDown(code_end + abi::kPAGE_SIZE - 1), .free = (code_end + 15) & ~uint64_t{15}, .gateway = 0});
}

bool Express::Knows(uint64_t start, uint64_t end) const {
  return std::any_of(maps_.begin(), maps_.end(), [&](const CodeMap& m) { return Overlap(m.start, m.end, start, end); });
}

void Express::BeforeChange(HostThread* thread, uint64_t start, uint64_t end) {
  std::erase_if(maps_, [&](const CodeMap& map) {
    if (!Overlap(map.start, map.end, start, end)) return false;
    if (thread != nullptr) (void)thread->Regs();  // off the path, while it is known
    std::erase_if(sites_, [&](const Site& site) {
      if (!Overlap(map.start, map.end, site.ret, site.ret + 1)) return false;
      if (thread != nullptr) Undo(*thread, site.edits);
      return true;
    });
    return true;
  });
}

void Express::RestoreAll(HostThread& thread) {
  if (sites_.empty()) return;
  (void)thread.Regs();
  for (const Site& site : sites_) Undo(thread, site.edits);
  sites_.clear();
  scores_ = {};
}

void Express::Disable(HostThread& thread) {
  RestoreAll(thread);
  disabled_ = true;
}

void Express::Unpatch(uint64_t addr, std::span<std::byte> out) const {
  for (const Site& site : sites_) {
    for (const Edit& edit : site.edits) {
      const uint64_t from = std::max(addr, edit.addr), to = std::min(addr + out.size(), edit.addr + edit.size);
      if (from < to) memcpy(out.data() + (from - addr), edit.before.data() + (from - edit.addr), to - from);
    }
  }
}

void Express::CopyTo(Express& child) const {
  child.disabled_ = disabled_;
  child.maps_ = maps_;
  child.sites_ = sites_;
}

bool Express::IsPatched(uint64_t ret) const {
  return std::any_of(sites_.begin(), sites_.end(), [&](const Site& site) { return site.ret == ret; });
}

void Express::Begin(uint64_t ret) {
  if (idle()) return;
  Score& score = ScoreOf(ret);
  if (score.ret != ret) score = {ret, 0};
  if (score.value == kHopeless) return;
  score.value = std::max(score.value - kCharge, kUnhappy);
  if (score.value == kUnhappy && IsPatched(ret)) unhappy_ = true;
}

void Express::End(HostThread& thread, const Trap& trap, bool simple) {
  if (idle()) return;
  Score& score = ScoreOf(trap.ip);
  if (simple && score.ret == trap.ip && score.value != kHopeless && score.value < kHot) {
    score.value += kCharge + 1;
    if (score.value >= kHot && !IsPatched(trap.ip) && !Patch(thread, trap.ip, static_cast<uint64_t>(trap.nr))) {
      score.value = kHopeless;
    }
  }
  if (unhappy_) RestoreUnhappy(thread);
  if (faulted_calls_ >= kWantsPage && !page_) (void)MakePage(thread);
}

void Express::RestoreUnhappy(HostThread& thread) {
  unhappy_ = false;
  (void)thread.Regs();
  std::erase_if(sites_, [&](const Site& site) {
    const Score& score = ScoreOf(site.ret);
    if (score.ret != site.ret || score.value > kUnhappy) return false;
    Undo(thread, site.edits);
    return true;
  });
}

bool Express::Patch(HostThread& thread, uint64_t ret, uint64_t nr) {
  auto map = std::find_if(maps_.begin(), maps_.end(), [&](const CodeMap& m) { return ret > m.start && ret <= m.end; });
  if (map == maps_.end()) return false;
  if (!page_ && !MakePage(thread).ok()) return false;
  return AddSite(thread, *map, ret, nr);
}

bool Express::AddSite(HostThread& thread, CodeMap& map, uint64_t ret, uint64_t nr) {
  if (map.gateway == 0) {
    if (map.free + kGatewaySize > map.end) return false;
    if (!WriteCode(thread, map.free, GatewayCode(platform_.layout().ExpressEntry()))) return false;
    map.gateway = std::exchange(map.free, map.free + kGatewaySize);
  }
  if (map.free + kTrampolineSize > map.end) return false;
  uint8_t bytes[2 * kSiteReach];
  CodeWindow code{.start = std::max(map.start, ret - kSiteReach)};
  const uint64_t end = std::min(map.gateway, ret + kSiteReach);
  code.bytes = {bytes, end - code.start};
  if (!ReadCode(thread, code.start, bytes, code.bytes.size())) return false;
  std::optional<SitePlan> plan = PlanSite(code, ret, nr, map.free, map.gateway);
  if (!plan || !WriteCode(thread, map.free, plan->trampoline)) return false;
  for (const Edit& edit : plan->edits) {
    if (WriteCode(thread, edit.addr, {edit.after.data(), edit.size})) continue;
    Undo(thread, plan->edits);
    return false;
  }
  sites_.push_back({ret, nr, map.free, map.free + plan->trampoline.size(), std::move(plan->edits)});
  map.free += kTrampolineSize;
  return true;
}

// The child of a fork does not get the page: it would post its calls as its parent's.
ErrorOr<void> Express::MakePage(HostThread& thread) {
  const uint64_t place = platform_.layout().express();
  ExpressPage page = TRY(ExpressPage::Create());
  TRY(platform_.SendFds({{page.fd()}}));
  ErrorOr<uint64_t> mapped = thread.Call(StubEntry::kMapFd, {.r12 = place,
                                                             .r13 = abi::kPAGE_SIZE,
                                                             .r14 = abi::kPROT_READ | abi::kPROT_WRITE,
                                                             .r15 = abi::kMAP_SHARED | abi::kMAP_FIXED,
                                                             .rbp = ControlLength(1)});
  if (!mapped.ok()) platform_.DrainFds();
  TRY(std::move(mapped));
  const uint64_t keep[] = {place, abi::kPAGE_SIZE, static_cast<uint64_t>(abi::kMADV_DONTFORK)};
  TRY(thread.Syscall(abi::kNr_madvise, keep));
  page.CloseFd();
  page_.emplace(std::move(page));
  if (thread.owner != nullptr) platform_.poller().Add(*thread.owner);
  return {};
}

uint64_t Express::ReturnOf(uint64_t ip) {
  return page_ && platform_.layout().PartOf(ip) == ExpressPart::kCalled ? page_->return_ip() : 0;
}

std::optional<Trap> Express::FaultedCall(abi::UserRegs& regs) {
  if (page_ || sites_.empty() || platform_.layout().PartOf(regs.rip) != ExpressPart::kEntry) return std::nullopt;
  ++faulted_calls_;
  Trap trap{};
  trap.kind = TrapKind::kSyscall;
  trap.arch = kAuditArchX86_64;
  trap.nr = static_cast<int64_t>(regs.rax);
  const uint64_t args[6] = {regs.rdi, regs.rsi, regs.rdx, regs.r10, regs.r8, regs.r9};
  std::copy(std::begin(args), std::end(args), std::begin(trap.args));
  regs.rip = trap.ip = regs.rcx;
  regs.r11 = regs.eflags;
  regs.rax = static_cast<uint64_t>(ToSyscallReturn(kENOSYS));
  trap.sp = regs.rsp;
  return trap;
}

bool Express::Normalize(abi::UserRegs& regs, bool taken) {
  if (taken && page_) {
    Complete(regs, static_cast<uint64_t>(ToSyscallReturn(kENOSYS)));
    return true;
  }
  ExpressPart part = platform_.layout().PartOf(regs.rip);
  return part == ExpressPart::kNone ? LeaveTheWay(regs) : LeaveThePath(regs, part);
}

void Express::Complete(abi::UserRegs& regs, uint64_t rax) const {
  regs.rax = rax;
  regs.rip = regs.rcx = page_->return_ip();
  regs.rsp = page_->rsp();
  regs.eflags = regs.r11 = page_->flags();
}

// Between a site and the path.
bool Express::LeaveTheWay(abi::UserRegs& regs) const {
  for (const CodeMap& map : maps_) {
    if (map.gateway != 0 && regs.rip - map.gateway < kGatewaySize) return Rewind(regs, regs.rcx);
  }
  for (const Site& site : sites_) {
    if (regs.rip >= site.trampoline && regs.rip < site.trampoline_end) {
      if (site.edits.size() == 1) regs.rax = site.nr;
      return Rewind(regs, site.ret);
    }
    const Edit& first = site.edits.front();
    if (regs.rip != first.addr && first.Contains(regs.rip)) return Rewind(regs, site.ret);
  }
  return false;
}

bool Express::LeaveThePath(abi::UserRegs& regs, ExpressPart part) {
  if (part == ExpressPart::kEntry) return Rewind(regs, regs.rcx);
  if (!page_) return false;  // nobody gets here without one but by will
  if (part == ExpressPart::kCalled) {
    regs.rip = regs.rcx = page_->return_ip();
    return true;
  }
  if (part == ExpressPart::kPosted && !page_->Withdraw()) {
    Complete(regs, page_->rax());
    return true;
  }
  if (part == ExpressPart::kEntered) return Rewind(regs, regs.rcx);
  regs.rsp = page_->rsp();
  if (part == ExpressPart::kSwitched) return Rewind(regs, regs.rcx);
  regs.rax = page_->rax();
  regs.eflags = page_->flags();
  return Rewind(regs, page_->return_ip());
}

}  // namespace moat::ptrace
