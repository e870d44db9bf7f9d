#include "base/seccomp/rule.h"

namespace moat::seccomp {

namespace {

bool Holds(const ArgCondition& c, const abi::SeccompData& call) {
  uint64_t arg = call.args[c.index];
  switch (c.op) {
    case ArgCondition::Op::kMaskedEqual: return (arg & c.mask) == c.value;
    case ArgCondition::Op::kNotEqual: return arg != c.value;
    case ArgCondition::Op::kInRange: return c.value <= arg && arg <= c.last;
  }
  return false;
}

bool Matches(const Rule& rule, const abi::SeccompData& call) {
  if (rule.nr != call.nr) return false;
  uint64_t ip = call.instruction_pointer;
  if (rule.ip && (ip < rule.ip->begin || ip >= rule.ip->end)) return false;
  for (const ArgCondition& c : rule.conditions) {
    if (!Holds(c, call)) return false;
  }
  return true;
}

}  // namespace

uint32_t Decide(const Filter& filter, const abi::SeccompData& call) {
  if (call.arch != abi::kAUDIT_ARCH_X86_64) return filter.foreign_action;
  if (static_cast<uint32_t>(call.nr) >= static_cast<uint32_t>(abi::kX32_SYSCALL_BIT)) return filter.foreign_action;
  for (const Rule& rule : filter.rules) {
    if (Matches(rule, call)) return rule.action;
  }
  return filter.default_action;
}

const char* SyscallName(int nr) {
  switch (nr) {
#define MOAT_SYSCALL(number, name) \
  case number:                     \
    return #name;
#include "abi/syscall_nr.inc"
#undef MOAT_SYSCALL
  }
  return "?";
}

}  // namespace moat::seccomp
