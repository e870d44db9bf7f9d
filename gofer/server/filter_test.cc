#include "gofer/server/filter.h"

#include <gtest/gtest.h>

#include <set>

#include "base/seccomp/bpf_dump.h"
#include "base/seccomp/compile.h"
#include "base/seccomp/verify.h"
#include "base/util/sanitizers.h"

namespace moat::gofer {
namespace {

// The reviewed lists. After a change on purpose: copy what the failing test prints.
[[maybe_unused]] constexpr const char* kGolden =
#include "gofer/server/filter_golden.inc"
    ;

const FilterParams kReadOnly{3, 2, 5, false}, kWritable{3, 2, 5, true};

#if !defined(MOAT_ASAN) && !defined(MOAT_TSAN)  // those add calls of their own
size_t CountCalls(const seccomp::Filter& filter) {
  std::set<abi::Nr> calls;
  for (const auto& rule : filter.rules) calls.insert(rule.nr);
  return calls.size();
}

TEST(GoferFilter, IsAsReviewed) {
  std::string now = "read only:\n" + seccomp::DumpRules(MakeFilter(kReadOnly)) + "writable:\n" +
                    seccomp::DumpRules(MakeFilter(kWritable));
  EXPECT_EQ(now, kGolden) << now;
}

TEST(GoferFilter, IsShort) {
  EXPECT_LE(CountCalls(MakeFilter(kReadOnly)), 28u);
  EXPECT_LE(CountCalls(MakeFilter(kWritable)), 40u);
}
#endif

TEST(GoferFilter, ProgramMeansWhatTheRowsSay) {
  for (const auto& params : {kReadOnly, kWritable}) {
    auto filter = MakeFilter(params);
    auto program = seccomp::CompileFilter(filter);
    ASSERT_TRUE(program.ok());
    for (const auto& line : seccomp::VerifyFilter(filter, *program)) ADD_FAILURE() << line;
  }
}

TEST(GoferFilter, KillsWhatAGoferNeverDoes) {
  auto filter = MakeFilter(kWritable);
  for (abi::Nr nr : {abi::kNr_execve, abi::kNr_execveat, abi::kNr_clone, abi::kNr_clone3, abi::kNr_fork, abi::kNr_socket,
                     abi::kNr_connect, abi::kNr_ptrace, abi::kNr_process_vm_writev, abi::kNr_open_by_handle_at,
                     abi::kNr_mount, abi::kNr_unshare, abi::kNr_setns, abi::kNr_chroot, abi::kNr_bpf, abi::kNr_ioctl,
                     abi::kNr_io_uring_setup, abi::kNr_kill, abi::kNr_pidfd_getfd}) {
    abi::SeccompData call{};
    call.nr = static_cast<int>(nr);
    call.arch = abi::kAUDIT_ARCH_X86_64;
    EXPECT_EQ(seccomp::Decide(filter, call), abi::kSECCOMP_RET_KILL_PROCESS) << seccomp::SyscallName(call.nr);
  }
}

}  // namespace
}  // namespace moat::gofer
