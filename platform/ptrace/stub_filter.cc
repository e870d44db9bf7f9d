#include "platform/ptrace/stub_filter.h"

#include <cstddef>
#include <cstdio>

#include "abi/clone.h"
#include "abi/mman.h"
#include "abi/signal.h"
#include "abi/syscall_nr.h"
#include "base/util/check.h"
#include "base/util/no_destructor.h"
#include "platform/ptrace/clone_flags.h"
#include "platform/ptrace/stub.h"

namespace moat::ptrace {
namespace {

constexpr uint32_t kAll = ~0u;
constexpr uint32_t kRlimitStack = 3;
static_assert((kMaxMapFds & (kMaxMapFds + 1)) == 0, "its complement is a mask");
constexpr uint32_t kThreadCpuClock = 3;

std::vector<StubRule> MakeRules() {
  using namespace abi;
  return {
      {kNr_mmap, "mmap", {{3, kMAP_FIXED, kMAP_FIXED}, {4, kAll, kAll, true}},
       "anonymous memory, at the address that the sentry chose"},
      {kNr_mmap, "mmap", {{3, kMAP_FIXED, kMAP_FIXED}, {4, ~uint32_t{kMaxMapFds}, 0, true}},
       "a file whose descriptor just came over the socket"},
      {kNr_munmap, "munmap", {}, "the guest's own memory"},
      {kNr_mprotect, "mprotect", {}, "the guest's own memory"},
      {kNr_mremap, "mremap", {}, "the guest's own memory"},
      {kNr_madvise, "madvise", {}, "the guest's own memory"},
      {kNr_msync, "msync", {}, "write back of files that it maps shared"},
      {kNr_mincore, "mincore", {}, "residency of its own memory"},
      {kNr_mlock2, "mlock2", {}, "bounded by RLIMIT_MEMLOCK"},
      {kNr_munlock, "munlock", {}, "the guest's own memory"},
      {kNr_clone, "clone", {{0, kAll, static_cast<uint32_t>(kForkFlags)}}, "fork: a child of the sentry, traced from its start"},
      {kNr_clone, "clone", {{0, kAll, static_cast<uint32_t>(kThreadFlags)}}, "a further thread of this address space"},
      {kNr_recvmsg, "recvmsg", {{0, kAll, 0, true}}, "the one socket, for descriptors to map"},
      {kNr_close_range, "close_range", {{0, kAll, 1, true}, {1, kAll, kAll, true}}, "the descriptors that were mapped"},
      {kNr_prlimit64, "prlimit64", {{0, kAll, 0, true}, {1, kAll, kRlimitStack, true}},
       "its own stack limit, which the host applies to MAP_GROWSDOWN"},
      {kNr_clock_gettime, "clock_gettime", {{0, kAll, kThreadCpuClock, true}}, "its own CPU time"},
      {kNr_rseq, "rseq", {}, "the host preempts guest threads, so the registration must be the host's"},
      {kNr_membarrier, "membarrier", {}, "a barrier among the threads of this address space"},
      {kNr_exit, "exit", {}, "this thread's end"},
  };
}

constexpr uint16_t kLoadWord = abi::kBPF_LD | abi::kBPF_W | abi::kBPF_ABS;
constexpr uint16_t kJumpEqual = abi::kBPF_JMP | abi::kBPF_JEQ | abi::kBPF_K;
constexpr uint16_t kJumpGreaterEqual = abi::kBPF_JMP | abi::kBPF_JGE | abi::kBPF_K;
constexpr uint16_t kAndWord = abi::kBPF_ALU | abi::kBPF_AND | abi::kBPF_K;
constexpr uint16_t kReturn = abi::kBPF_RET | abi::kBPF_K;

uint32_t ArgumentOffset(int argument, bool high) {
  return static_cast<uint32_t>(offsetof(abi::SeccompData, args)) + 8u * static_cast<uint32_t>(argument) + (high ? 4u : 0u);
}

// Instructions of one rule, `nr` already in the accumulator; jumps that fail go `to_next` past the block's end, which is
// the next rule's start. A is clobbered, so each block reloads nr first.
std::vector<abi::SockFilter> RuleBlock(const StubRule& rule) {
  std::vector<abi::SockFilter> code;
  code.push_back({kLoadWord, 0, 0, offsetof(abi::SeccompData, nr)});
  code.push_back({kJumpEqual, 0, 255, static_cast<uint32_t>(rule.nr)});
  for (const ArgumentIs& is : rule.when) {
    if (!is.low_only) {
      code.push_back({kLoadWord, 0, 0, ArgumentOffset(is.argument, true)});
      code.push_back({kJumpEqual, 0, 255, 0});
    }
    code.push_back({kLoadWord, 0, 0, ArgumentOffset(is.argument, false)});
    if (is.mask != kAll) code.push_back({kAndWord, 0, 0, is.mask});
    code.push_back({kJumpEqual, 0, 255, is.value});
  }
  code.push_back({kReturn, 0, 0, abi::kSECCOMP_RET_ALLOW});
  for (size_t i = 0; i < code.size(); ++i) {
    if (code[i].jf == 255) code[i].jf = static_cast<uint8_t>(code.size() - 1 - i);
  }
  return code;
}

}  // namespace

std::span<const StubRule> StubRules() {
  static NoDestructor<std::vector<StubRule>> rules(MakeRules());
  return *rules;
}

std::vector<abi::SockFilter> CompileStubFilter(uint64_t text) {
  const abi::SockFilter trap{kReturn, 0, 0, abi::kSECCOMP_RET_TRAP};
  const uint32_t ip = offsetof(abi::SeccompData, instruction_pointer);
  const uint32_t low = static_cast<uint32_t>(text);
  CHECK(low <= ~0u - abi::kPAGE_SIZE);
  std::vector<abi::SockFilter> code = {
      {kLoadWord, 0, 0, offsetof(abi::SeccompData, arch)},
      {kJumpEqual, 1, 0, abi::kAUDIT_ARCH_X86_64},
      trap,
      {kLoadWord, 0, 0, ip + 4},
      {kJumpEqual, 1, 0, static_cast<uint32_t>(text >> 32)},
      trap,
      {kLoadWord, 0, 0, ip},
      {kJumpGreaterEqual, 0, 1, low},
      {kJumpGreaterEqual, 0, 1, low + static_cast<uint32_t>(abi::kPAGE_SIZE)},
      trap,
  };
  for (const StubRule& rule : StubRules()) {
    std::vector<abi::SockFilter> block = RuleBlock(rule);
    code.insert(code.end(), block.begin(), block.end());
  }
  code.push_back(trap);
  return code;
}

std::string DumpStubRules() {
  std::string out;
  for (const StubRule& rule : StubRules()) {
    std::string line = rule.name;
    for (const ArgumentIs& is : rule.when) {
      char text[64];
      if (is.mask == kAll) snprintf(text, sizeof text, " arg%d==0x%x", is.argument, is.value);
      else snprintf(text, sizeof text, " arg%d&0x%x==0x%x", is.argument, is.mask, is.value);
      line += text;
    }
    out += line + ": " + rule.reason + "\n";
  }
  return out;
}

}  // namespace moat::ptrace
