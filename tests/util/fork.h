// Children that run a function, and other identities to run it as. Expectations work inside a child: they
// print, and the child's exit status tells the parent.
#pragma once

#include <errno.h>
#include <grp.h>
#include <signal.h>
#include <stdio.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <unistd.h>

#include <type_traits>
#include <utility>

#include "tests/util/matchers.h"

namespace moat::test {

// What a child exits with when an expectation failed in it.
constexpr int kChildFailed = 99;

// Matches a wait status: exited with `code`, or was ended by signal `sig`.
MATCHER_P(ExitedWith, code, "") {
  *result_listener << (WIFSIGNALED(arg) ? "which died of signal " : "which exited with ")
                   << (WIFSIGNALED(arg) ? WTERMSIG(arg) : WEXITSTATUS(arg));
  return WIFEXITED(arg) && WEXITSTATUS(arg) == code;
}
MATCHER_P(KilledBy, sig, "") {
  *result_listener << (WIFSIGNALED(arg) ? "which died of signal " : "which exited with ")
                   << (WIFSIGNALED(arg) ? WTERMSIG(arg) : WEXITSTATUS(arg));
  return WIFSIGNALED(arg) && WTERMSIG(arg) == sig;
}

// How many expectations of the running test have failed in this process (and before it was forked).
inline int FailureCount() {
  const testing::TestInfo* info = testing::UnitTest::GetInstance()->current_test_info();
  if (!info) return 0;
  int failures = 0;
  for (int i = 0; i < info->result()->total_part_count(); ++i) {
    failures += info->result()->GetTestPartResult(i).failed();
  }
  return failures;
}

// Runs `fn` and leaves the process without destructors: with fn's int, or 0 if fn is void; with kChildFailed
// if that is 0 but an expectation failed.
template <typename Fn>
[[noreturn]] void RunAndExit(Fn&& fn) {
  const int failures_before = FailureCount();
  int code = 0;
  if constexpr (std::is_same_v<std::invoke_result_t<Fn>, int>) {
    code = fn();
  } else {
    fn();
  }
  if (code == 0 && FailureCount() != failures_before) code = kChildFailed;
  fflush(nullptr);
  _exit(code);
}

// Forks a child that runs `fn` (see RunAndExit) and returns its pid; the caller reaps it.
template <typename Fn>
pid_t ForkAndRun(Fn&& fn) {
  fflush(nullptr);
  const pid_t pid = fork();
  EXPECT_THAT(pid, SyscallSucceeds());
  if (pid == 0) RunAndExit(std::forward<Fn>(fn));
  return pid;
}

// Reaps `pid`: its wait status, or -1 and a test failure.
inline int WaitForChild(pid_t pid) {
  int status = -1;
  pid_t got;
  do {
    got = waitpid(pid, &status, 0);
  } while (got < 0 && errno == EINTR);
  EXPECT_THAT(got, SyscallSucceedsWithValue(pid));
  return status;
}

// Runs `fn` in a child and returns its wait status. EXPECT_THAT(RunInChild([] {...}), ExitedWith(0)).
template <typename Fn>
[[nodiscard]] int RunInChild(Fn&& fn) {
  return WaitForChild(ForkAndRun(std::forward<Fn>(fn)));
}

// A child that is killed and reaped at destruction unless Wait was called.
class ScopedChild {
 public:
  template <typename Fn>
  explicit ScopedChild(Fn&& fn) : pid_(ForkAndRun(std::forward<Fn>(fn))) {}
  ScopedChild(const ScopedChild&) = delete;
  ScopedChild& operator=(const ScopedChild&) = delete;
  ~ScopedChild() {
    if (pid_ <= 0) return;
    kill(pid_, SIGKILL);
    Wait();
  }
  pid_t pid() const { return pid_; }
  // Reaps it: its wait status.
  int Wait() { return WaitForChild(std::exchange(pid_, -1)); }

 private:
  pid_t pid_;
};

// The identity that tests use for "some user without rights".
constexpr uid_t kOtherUid = 65533;
constexpr gid_t kOtherGid = 65532;

// Becomes `uid`:`gid` with no supplementary groups, and so without capabilities. For children; needs root.
inline void BecomeUser(uid_t uid = kOtherUid, gid_t gid = kOtherGid) {
  ASSERT_THAT(setgroups(0, nullptr), SyscallSucceeds());
  ASSERT_THAT(setresgid(gid, gid, gid), SyscallSucceeds());
  ASSERT_THAT(setresuid(uid, uid, uid), SyscallSucceeds());
}

// RunInChild as an unprivileged user.
template <typename Fn>
[[nodiscard]] int RunAsUser(Fn&& fn, uid_t uid = kOtherUid, gid_t gid = kOtherGid) {
  return RunInChild([&] {
    BecomeUser(uid, gid);
    if (geteuid() == uid) fn();
  });
}

}  // namespace moat::test

// Ends the test as skipped when the process is not root.
#define SKIP_IF_NOT_ROOT() \
  if (geteuid() != 0) GTEST_SKIP() << "needs root"
