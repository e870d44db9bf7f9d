// Queued signals: values, order, limits, and what a sender may claim about itself.
#include <sys/resource.h>

#include "tests/util/memory.h"
#include "tests/util/process.h"
#include "tests/util/signals.h"

namespace moat::test {
namespace {

siginfo_t Take(std::initializer_list<int> signals) {
  siginfo_t info = {};
  const sigset_t set = SignalSet(signals);
  EXPECT_THAT(sigwaitinfo(&set, &info), SyscallSucceeds());
  return info;
}

TEST(SigqueueTest, CarriesAValueAndTheSender) {
  ScopedSignalMask block(SIG_BLOCK, {SIGUSR1});
  sigval value = {.sival_ptr = reinterpret_cast<void*>(0x1122334455667788)};
  ASSERT_THAT(sigqueue(getpid(), SIGUSR1, value), SyscallSucceeds());
  const siginfo_t info = Take({SIGUSR1});
  EXPECT_EQ(info.si_code, SI_QUEUE);
  EXPECT_EQ(info.si_value.sival_ptr, value.sival_ptr);
  EXPECT_EQ(info.si_pid, getpid());
  EXPECT_EQ(info.si_uid, getuid());
}

TEST(SigqueueTest, RealTimeSignalsQueueInOrder) {
  const int sig = SIGRTMIN + 1;
  ScopedSignalMask block(SIG_BLOCK, {sig});
  for (int i = 0; i < 20; ++i) ASSERT_THAT(sigqueue(getpid(), sig, {.sival_int = i}), SyscallSucceeds());
  for (int i = 0; i < 20; ++i) EXPECT_EQ(Take({sig}).si_value.sival_int, i);
}

TEST(SigqueueTest, StandardSignalKeepsOnlyTheFirst) {
  ScopedSignalMask block(SIG_BLOCK, {SIGUSR1});
  for (int i = 0; i < 3; ++i) ASSERT_THAT(sigqueue(getpid(), SIGUSR1, {.sival_int = i}), SyscallSucceeds());
  EXPECT_EQ(Take({SIGUSR1}).si_value.sival_int, 0);
  sigset_t pending;
  sigpending(&pending);
  EXPECT_FALSE(sigismember(&pending, SIGUSR1));
}

TEST(SigqueueTest, LowerNumbersComeFirst) {
  ScopedSignalMask block(SIG_BLOCK, {SIGRTMIN + 1, SIGRTMIN + 2, SIGUSR1});
  sigqueue(getpid(), SIGRTMIN + 2, {.sival_int = 1});
  sigqueue(getpid(), SIGRTMIN + 1, {.sival_int = 2});
  sigqueue(getpid(), SIGUSR1, {.sival_int = 3});
  EXPECT_EQ(Take({SIGRTMIN + 1, SIGRTMIN + 2, SIGUSR1}).si_value.sival_int, 3);
  EXPECT_EQ(Take({SIGRTMIN + 1, SIGRTMIN + 2, SIGUSR1}).si_value.sival_int, 2);
  EXPECT_EQ(Take({SIGRTMIN + 1, SIGRTMIN + 2, SIGUSR1}).si_value.sival_int, 1);
}

TEST(SigqueueTest, SignalsToTheThreadComeBeforeThoseToTheProcess) {
  const int sig = SIGRTMIN + 3;
  ScopedSignalMask block(SIG_BLOCK, {sig});
  ASSERT_THAT(sigqueue(getpid(), sig, {.sival_int = 1}), SyscallSucceeds());
  ASSERT_THAT(pthread_sigqueue(pthread_self(), sig, {.sival_int = 2}), 0);
  EXPECT_EQ(Take({sig}).si_value.sival_int, 2);
  EXPECT_EQ(Take({sig}).si_value.sival_int, 1);
}

TEST(SigqueueTest, EachQueuedInstanceRunsTheHandler) {
  const int sig = SIGRTMIN + 1;
  static int values[8], count;
  count = 0;
  ScopedSigaction handler(
      sig, [](int, siginfo_t* info, void*) { values[count++] = info->si_value.sival_int; }, 0);
  {
    ScopedSignalMask block(SIG_BLOCK, {sig});
    for (int i = 0; i < 8; ++i) sigqueue(getpid(), sig, {.sival_int = i});
  }
  ASSERT_EQ(count, 8);
  for (int i = 0; i < 8; ++i) EXPECT_EQ(values[i], i);
}

TEST(SigqueueTest, BadTargetsAndSignals) {
  EXPECT_THAT(sigqueue(0x3ffffff, SIGUSR1, {}), SyscallFailsWithErrno(ESRCH));
  EXPECT_THAT(sigqueue(getpid(), 65, {}), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(sigqueue(getpid(), -1, {}), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(sigqueue(getpid(), 0, {}), SyscallSucceeds());
}

TEST(SigqueueinfoTest, CannotPretendToBeTheKernelOrKillTowardsOthers) {
  ScopedChild child([]() -> int {
    for (;;) pause();
  });
  siginfo_t info = {};
  info.si_signo = SIGUSR1;
  for (int code : std::initializer_list<int>{SI_USER, SI_KERNEL, SI_TKILL, 5}) {
    info.si_code = code;
    EXPECT_THAT(syscall(SYS_rt_sigqueueinfo, child.pid(), SIGUSR1, &info), SyscallFailsWithErrno(EPERM))
        << code;
  }
}

TEST(SigqueueinfoTest, MayClaimAnythingTowardsItself) {
  ScopedSignalMask block(SIG_BLOCK, {SIGUSR1});
  siginfo_t info = {};
  info.si_code = SI_KERNEL;
  info.si_pid = 4242;
  ASSERT_THAT(syscall(SYS_rt_sigqueueinfo, getpid(), SIGUSR1, &info), SyscallSucceeds());
  const siginfo_t got = Take({SIGUSR1});
  EXPECT_EQ(got.si_code, SI_KERNEL);
  EXPECT_EQ(got.si_pid, 4242);
  EXPECT_EQ(got.si_signo, SIGUSR1);  // the argument decides
}

TEST(SigqueueinfoTest, ReachesOneThread) {
  ScopedSignalMask block(SIG_BLOCK, {SIGUSR1});
  siginfo_t info = {};
  info.si_code = SI_QUEUE;
  info.si_value.sival_int = 55;
  ASSERT_THAT(syscall(SYS_rt_tgsigqueueinfo, getpid(), gettid(), SIGUSR1, &info), SyscallSucceeds());
  EXPECT_EQ(Take({SIGUSR1}).si_value.sival_int, 55);
  EXPECT_THAT(syscall(SYS_rt_tgsigqueueinfo, 0, gettid(), SIGUSR1, &info), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(syscall(SYS_rt_tgsigqueueinfo, getpid(), 0x3ffffff, SIGUSR1, &info),
              SyscallFailsWithErrno(ESRCH));
}

TEST(SigqueueinfoTest, BadPointerIsEfault) {
  EXPECT_THAT(syscall(SYS_rt_sigqueueinfo, getpid(), SIGUSR1, BadPointer()), SyscallFailsWithErrno(EFAULT));
}

TEST(SigqueueTest, PendingLimitIsEagainForQueuedSignals) {
  SKIP_IF_NOT_ROOT();
  EXPECT_THAT(RunAsUser([] {
                const int sig = SIGRTMIN + 1;
                ScopedSignalMask block(SIG_BLOCK, {sig, SIGUSR1});
                const rlimit limit = {4, 4};
                ASSERT_THAT(setrlimit(RLIMIT_SIGPENDING, &limit), SyscallSucceeds());
                int sent = 0;
                while (sent < 100 && sigqueue(getpid(), sig, {.sival_int = sent}) == 0) ++sent;
                EXPECT_EQ(errno, EAGAIN);
                EXPECT_LE(sent, 4);
                EXPECT_THAT(kill(getpid(), SIGUSR1), SyscallSucceeds());  // kill always gets through
                EXPECT_EQ(Take({SIGUSR1}).si_signo, SIGUSR1);
                DrainSignals({sig});
              }),
              ExitedWith(0));
}

TEST(SigqueueTest, SignalsSentByKillToARealTimeNumberQueueToo) {
  const int sig = SIGRTMIN + 4;
  SignalCounter counter(sig);
  {
    ScopedSignalMask block(SIG_BLOCK, {sig});
    for (int i = 0; i < 6; ++i) kill(getpid(), sig);
  }
  EXPECT_EQ(counter.count(), 6);
}

}  // namespace
}  // namespace moat::test
