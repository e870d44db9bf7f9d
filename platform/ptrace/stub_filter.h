// The stub's seccomp list: what a stub may do on the host, and only from its own text. Everything else, from anywhere, is
// SECCOMP_RET_TRAP, which also turns the vsyscall page and foreign architectures into stops.
//
// Under SYSEMU no guest instruction reaches the host at all; the list is the second wall, for the moments in which a stub
// runs a command (PTRACE_CONT), and what makes the vsyscall page visible.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "abi/seccomp.h"

namespace moat::ptrace {

// `argument` (its low 32 bits, and the high ones as 0 unless `low_only`) masked by `mask` equals `value`.
struct ArgumentIs {
  uint8_t argument;
  uint32_t mask;
  uint32_t value;
  bool low_only = false;  // an int for the kernel: the high half is ignored there too
};

struct StubRule {
  int nr;
  const char* name;
  std::vector<ArgumentIs> when;  // all of them
  const char* reason;
};

std::span<const StubRule> StubRules();

// The program for stubs whose text page is at `text`.
std::vector<abi::SockFilter> CompileStubFilter(uint64_t text);

// One line a rule, for the golden file and the documentation.
std::string DumpStubRules();

}  // namespace moat::ptrace
