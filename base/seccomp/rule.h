// Seccomp lists as data: one row says which call is made, with which arguments, by whom, why, and what an attacker who has
// taken over the process gains by it. A process's list is a table of rows in that process's own folder.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "abi/seccomp.h"
#include "abi/syscall_nr.h"

namespace moat::seccomp {

// A condition on one 64-bit argument register.
struct ArgCondition {
  enum class Op : uint8_t {
    kMaskedEqual,  // (argument & mask) == value
    kNotEqual,     // argument != value
    kInRange,      // value <= argument <= last, unsigned
  };
  uint8_t index;  // 0 to 5
  Op op;
  uint64_t value;
  uint64_t mask = ~uint64_t{0};
  uint64_t last = 0;

  bool operator==(const ArgCondition&) const = default;
};

// All 64 bits. For an int that the kernel takes as 32 bits, the high half is what our wrappers put there (the sign).
constexpr ArgCondition ArgIs(int index, uint64_t value) {
  return {static_cast<uint8_t>(index), ArgCondition::Op::kMaskedEqual, value};
}
// The low 32 bits, for an int argument whose upper half libc leaves undefined.
constexpr ArgCondition ArgIs32(int index, uint32_t value) {
  return {static_cast<uint8_t>(index), ArgCondition::Op::kMaskedEqual, value, 0xffffffff};
}
constexpr ArgCondition ArgMaskedIs(int index, uint64_t mask, uint64_t value) {
  return {static_cast<uint8_t>(index), ArgCondition::Op::kMaskedEqual, value, mask};
}
// None of `bits` is set.
constexpr ArgCondition ArgLacks(int index, uint64_t bits) { return ArgMaskedIs(index, bits, 0); }
constexpr ArgCondition ArgIsNot(int index, uint64_t value) {
  return {static_cast<uint8_t>(index), ArgCondition::Op::kNotEqual, value};
}
// first <= argument <= last.
constexpr ArgCondition ArgInRange(int index, uint64_t first, uint64_t last) {
  return {static_cast<uint8_t>(index), ArgCondition::Op::kInRange, first, ~uint64_t{0}, last};
}

// Instruction pointers (of the instruction behind `syscall`) in [begin, end).
struct IpRange {
  uint64_t begin;
  uint64_t end;
  bool operator==(const IpRange&) const = default;
};

struct Rule {
  abi::Nr nr;
  std::vector<ArgCondition> conditions;  // all of them must hold; more rows of the same call are alternatives
  const char* call_site;                 // the function or file that makes the call
  const char* reason;                    // why it cannot do without
  const char* gain;                      // what an attacker inside gains
  uint32_t action = abi::kSECCOMP_RET_ALLOW;
  std::optional<IpRange> ip;  // from anywhere if not set
};

struct Filter {
  std::vector<Rule> rules;  // hottest calls first: the program looks for them in this order
  uint32_t default_action = abi::kSECCOMP_RET_KILL_PROCESS;
  uint32_t foreign_action = abi::kSECCOMP_RET_KILL_PROCESS;  // calls of another architecture (int 0x80) and of x32
};

// What `filter` means for one call, by the rows alone: what a compiled program is compared with.
uint32_t Decide(const Filter& filter, const abi::SeccompData& call);

// The call's name ("openat"); "?" if it has none.
const char* SyscallName(int nr);

}  // namespace moat::seccomp
