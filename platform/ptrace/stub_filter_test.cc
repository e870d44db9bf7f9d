#include "platform/ptrace/stub_filter.h"

#include <gtest/gtest.h>

#include <cstring>

#include "abi/mman.h"
#include "abi/syscall_nr.h"
#include "platform/ptrace/clone_flags.h"
#include "platform/ptrace/stub.h"

namespace moat::ptrace {
namespace {

constexpr uint64_t kText = 0x7fffd1234000;

// Interprets the program as the kernel does.
uint32_t Evaluate(const std::vector<abi::SockFilter>& program, const abi::SeccompData& data) {
  uint32_t a = 0;
  for (size_t pc = 0; pc < program.size(); ++pc) {
    const abi::SockFilter& i = program[pc];
    switch (i.code) {
      case abi::kBPF_LD | abi::kBPF_W | abi::kBPF_ABS:
        if (i.k > sizeof data - 4) return ~0u;
        memcpy(&a, reinterpret_cast<const char*>(&data) + i.k, 4);
        break;
      case abi::kBPF_ALU | abi::kBPF_AND | abi::kBPF_K: a &= i.k; break;
      case abi::kBPF_JMP | abi::kBPF_JEQ | abi::kBPF_K: pc += a == i.k ? i.jt : i.jf; break;
      case abi::kBPF_JMP | abi::kBPF_JGE | abi::kBPF_K: pc += a >= i.k ? i.jt : i.jf; break;
      case abi::kBPF_RET | abi::kBPF_K: return i.k;
      default: return ~0u;
    }
  }
  return ~0u;
}

bool Allowed(int nr, std::initializer_list<uint64_t> args, uint64_t ip = kText + 10,
             uint32_t arch = abi::kAUDIT_ARCH_X86_64) {
  abi::SeccompData data{.nr = nr, .arch = arch, .instruction_pointer = ip};
  size_t n = 0;
  for (uint64_t a : args) data.args[n++] = a;
  uint32_t action = Evaluate(CompileStubFilter(kText), data);
  EXPECT_TRUE(action == abi::kSECCOMP_RET_ALLOW || action == abi::kSECCOMP_RET_TRAP) << action;
  return action == abi::kSECCOMP_RET_ALLOW;
}

TEST(StubFilter, AllowsOnlyItsListFromItsText) {
  EXPECT_TRUE(Allowed(abi::kNr_munmap, {0, 4096}));
  EXPECT_FALSE(Allowed(abi::kNr_munmap, {0, 4096}, kText - 1));
  EXPECT_TRUE(Allowed(abi::kNr_munmap, {0, 4096}, kText));
  EXPECT_FALSE(Allowed(abi::kNr_munmap, {0, 4096}, kText + 4096));
  EXPECT_FALSE(Allowed(abi::kNr_munmap, {0, 4096}, (kText & 0xffffffff)));
  EXPECT_FALSE(Allowed(abi::kNr_munmap, {0, 4096}, kText + 10, abi::kAUDIT_ARCH_I386));
  for (int nr = 0; nr < 600; ++nr) {
    bool listed = false;
    for (const StubRule& rule : StubRules()) listed |= rule.nr == nr;
    if (!listed) {
      EXPECT_FALSE(Allowed(nr, {})) << nr;
    }
    EXPECT_FALSE(Allowed(nr | abi::kX32_SYSCALL_BIT, {})) << nr;
  }
}

TEST(StubFilter, ComparesArguments) {
  const uint64_t anonymous = abi::kMAP_PRIVATE | abi::kMAP_ANONYMOUS;
  EXPECT_TRUE(Allowed(abi::kNr_mmap, {4096, 4096, 3, anonymous | abi::kMAP_FIXED, ~uint64_t{0}, 0}));
  EXPECT_TRUE(Allowed(abi::kNr_mmap, {4096, 4096, 3, abi::kMAP_SHARED | abi::kMAP_FIXED, 1, 0}));
  EXPECT_FALSE(Allowed(abi::kNr_mmap, {4096, 4096, 3, anonymous, ~uint64_t{0}, 0})) << "not where the sentry said";
  EXPECT_TRUE(Allowed(abi::kNr_mmap, {4096, 4096, 3, abi::kMAP_SHARED | abi::kMAP_FIXED, kMaxMapFds, 0}));
  EXPECT_FALSE(Allowed(abi::kNr_mmap, {4096, 4096, 3, abi::kMAP_SHARED | abi::kMAP_FIXED, kMaxMapFds + 1, 0}));
  EXPECT_TRUE(Allowed(abi::kNr_clone, {kForkFlags}));
  EXPECT_TRUE(Allowed(abi::kNr_clone, {kThreadFlags}));
  EXPECT_FALSE(Allowed(abi::kNr_clone, {kForkFlags | abi::kCLONE_NEWUSER}));
  EXPECT_FALSE(Allowed(abi::kNr_clone, {kForkFlags | abi::kCLONE_UNTRACED}));
  EXPECT_FALSE(Allowed(abi::kNr_clone, {kForkFlags | uint64_t{1} << 32}));
  EXPECT_FALSE(Allowed(abi::kNr_clone, {abi::kSIGCHLD}));
  EXPECT_TRUE(Allowed(abi::kNr_recvmsg, {0, 4096, 0x40}));
  EXPECT_FALSE(Allowed(abi::kNr_recvmsg, {1}));
  EXPECT_TRUE(Allowed(abi::kNr_close_range, {1, ~uint32_t{0}}));
  EXPECT_FALSE(Allowed(abi::kNr_close_range, {0, ~uint32_t{0}}));
  EXPECT_TRUE(Allowed(abi::kNr_prlimit64, {0, 3}));
  EXPECT_FALSE(Allowed(abi::kNr_prlimit64, {1, 3}));
  EXPECT_FALSE(Allowed(abi::kNr_prlimit64, {0, 7}));
}

// A change here is a change of what a hostile stub can do: review it as such.
TEST(StubFilter, RulesAreTheReviewedOnes) {
  EXPECT_EQ(DumpStubRules(),
            "mmap arg3&0x10==0x10 arg4==0xffffffff: anonymous memory, at the address that the sentry chose\n"
            "mmap arg3&0x10==0x10 arg4&0xfffffff8==0x0: a file whose descriptor just came over the socket\n"
            "munmap: the guest's own memory\n"
            "mprotect: the guest's own memory\n"
            "mremap: the guest's own memory\n"
            "madvise: the guest's own memory\n"
            "msync: write back of files that it maps shared\n"
            "mincore: residency of its own memory\n"
            "mlock2: bounded by RLIMIT_MEMLOCK\n"
            "munlock: the guest's own memory\n"
            "clone arg0==0x8011: fork: a child of the sentry, traced from its start\n"
            "clone arg0==0x50f00: a further thread of this address space\n"
            "recvmsg arg0==0x0: the one socket, for descriptors to map\n"
            "close_range arg0==0x1 arg1==0xffffffff: the descriptors that were mapped\n"
            "prlimit64 arg0==0x0 arg1==0x3: its own stack limit, which the host applies to MAP_GROWSDOWN\n"
            "clock_gettime arg0==0x3: its own CPU time\n"
            "rseq: the host preempts guest threads, so the registration must be the host's\n"
            "membarrier: a barrier among the threads of this address space\n"
            "exit: this thread's end\n");
}

}  // namespace
}  // namespace moat::ptrace
