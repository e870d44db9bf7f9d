#include "sentry/boot/filter.h"

#include <gtest/gtest.h>

#include <set>

#include "base/seccomp/bpf_dump.h"
#include "base/seccomp/bpf_eval.h"
#include "base/seccomp/compile.h"
#include "base/seccomp/verify.h"
#include "base/util/sanitizers.h"

namespace moat {
namespace {

[[maybe_unused]] constexpr char kGolden[] =
#include "sentry/boot/filter_golden.inc"
    ;

TEST(SentryFilterTest, CompilesToWhatItsRowsSay) {
  seccomp::Filter filter = SentryFilter();
  auto program = seccomp::CompileFilter(filter);
  ASSERT_TRUE(program.ok());
  for (const std::string& difference : seccomp::VerifyFilter(filter, *program)) ADD_FAILURE() << difference;
}

#if !defined(MOAT_ASAN) && !defined(MOAT_TSAN)
TEST(SentryFilterTest, AllowsAtMostFiftyCalls) {
  std::set<int> calls;
  for (const seccomp::Rule& rule : SentryFilter().rules) calls.insert(rule.nr);
  EXPECT_LE(calls.size(), 50u);
}

TEST(SentryFilterTest, IsTheReviewedList) {
  // When this fails on purpose: review the difference, then put the new text into filter_golden.inc.
  EXPECT_EQ(seccomp::DumpRules(SentryFilter()), kGolden);
}
TEST(SentryFilterTest, RefusesWhatWouldOpenTheHost) {
  seccomp::Filter filter = SentryFilter();
  for (int nr : {abi::kNr_open, abi::kNr_openat, abi::kNr_openat2, abi::kNr_socket, abi::kNr_connect, abi::kNr_execve,
                 abi::kNr_execveat, abi::kNr_clone, abi::kNr_clone3, abi::kNr_fork, abi::kNr_vfork, abi::kNr_mount,
                 abi::kNr_unshare, abi::kNr_setns, abi::kNr_bpf, abi::kNr_io_uring_setup, abi::kNr_capset,
                 abi::kNr_setresuid, abi::kNr_chroot, abi::kNr_pivot_root, abi::kNr_userfaultfd, abi::kNr_keyctl}) {
    abi::SeccompData call{.nr = nr, .arch = abi::kAUDIT_ARCH_X86_64};
    EXPECT_EQ(seccomp::Decide(filter, call), abi::kSECCOMP_RET_KILL_PROCESS) << seccomp::SyscallName(nr);
  }
}
#endif

TEST(SentryFilterTest, KillsByDefault) {
  EXPECT_EQ(SentryFilter().default_action, abi::kSECCOMP_RET_KILL_PROCESS);
  EXPECT_EQ(SentryFilter().foreign_action, abi::kSECCOMP_RET_KILL_PROCESS);
}

}  // namespace
}  // namespace moat
