#include "platform/ptrace/stub.h"

#include "base/util/check.h"

extern "C" {
extern const uint8_t moat_ptrace_stub_begin[], moat_ptrace_stub_end[];
extern const uint8_t moat_ptrace_stub_start[], moat_ptrace_stub_syscall[], moat_ptrace_stub_map_fd[];
extern const uint8_t moat_ptrace_stub_map_list[];
extern const uint8_t moat_ptrace_stub_set_stack_limit[], moat_ptrace_stub_touch[];
extern const uint8_t moat_ptrace_stub_compare_exchange[], moat_ptrace_stub_exchange[], moat_ptrace_stub_add[];
extern const uint8_t moat_ptrace_stub_or[], moat_ptrace_stub_and[], moat_ptrace_stub_xor[];
extern const uint8_t moat_ptrace_stub_express[], moat_ptrace_stub_express_entered[], moat_ptrace_stub_express_switched[];
extern const uint8_t moat_ptrace_stub_express_stored[], moat_ptrace_stub_express_posted[];
extern const uint8_t moat_ptrace_stub_express_slow[], moat_ptrace_stub_express_called[], moat_ptrace_stub_express_end[];
}

namespace moat::ptrace {
namespace {

constexpr uint8_t kInt3 = 0xcc;

const uint8_t* Routine(StubEntry entry) {
  switch (entry) {
    case StubEntry::kStart: return moat_ptrace_stub_start;
    case StubEntry::kSyscall: return moat_ptrace_stub_syscall;
    case StubEntry::kMapFd: return moat_ptrace_stub_map_fd;
    case StubEntry::kMapList: return moat_ptrace_stub_map_list;
    case StubEntry::kSetStackLimit: return moat_ptrace_stub_set_stack_limit;
    case StubEntry::kTouch: return moat_ptrace_stub_touch;
    case StubEntry::kCompareExchange: return moat_ptrace_stub_compare_exchange;
    case StubEntry::kExchange: return moat_ptrace_stub_exchange;
    case StubEntry::kAdd: return moat_ptrace_stub_add;
    case StubEntry::kOr: return moat_ptrace_stub_or;
    case StubEntry::kAnd: return moat_ptrace_stub_and;
    case StubEntry::kXor: return moat_ptrace_stub_xor;
  }
  UNREACHABLE();
}

}  // namespace

std::span<const uint8_t> StubCode() {
  return {moat_ptrace_stub_begin, static_cast<size_t>(moat_ptrace_stub_end - moat_ptrace_stub_begin)};
}

uint64_t StubLayout::Address(StubEntry entry) const {
  return text + static_cast<uint64_t>(Routine(entry) - moat_ptrace_stub_begin);
}

bool StubLayout::IsEnd(uint64_t ip) const {
  if (ip <= text || ip - text > StubCode().size()) return false;
  return StubCode()[ip - text - 1] == kInt3;
}

uint64_t StubLayout::ExpressEntry() const { return text + static_cast<uint64_t>(moat_ptrace_stub_express - moat_ptrace_stub_begin); }

ExpressPart StubLayout::PartOf(uint64_t ip) const {
  const uint64_t offset = ip - text;
  const auto before = [&](const uint8_t* label) { return offset < static_cast<uint64_t>(label - moat_ptrace_stub_begin); };
  if (before(moat_ptrace_stub_express) || !before(moat_ptrace_stub_express_end)) return ExpressPart::kNone;
  if (before(moat_ptrace_stub_express_entered)) return ExpressPart::kEntry;
  if (before(moat_ptrace_stub_express_switched)) return ExpressPart::kEntered;
  if (before(moat_ptrace_stub_express_stored)) return ExpressPart::kSwitched;
  if (before(moat_ptrace_stub_express_posted)) return ExpressPart::kStored;
  if (before(moat_ptrace_stub_express_slow)) return ExpressPart::kPosted;
  if (before(moat_ptrace_stub_express_called)) return ExpressPart::kSlow;
  return ExpressPart::kCalled;
}

}  // namespace moat::ptrace
