// Process descriptors: pidfd_open, pidfd_send_signal, pidfd_getfd and poll.
#include <poll.h>
#include <sys/stat.h>

#include "tests/util/fd.h"
#include "tests/util/memory.h"
#include "tests/util/process.h"
#include "tests/util/signals.h"
#include "tests/util/temp_path.h"

namespace moat::test {
namespace {

int PidfdOpen(pid_t pid, unsigned flags = 0) { return static_cast<int>(syscall(SYS_pidfd_open, pid, flags)); }
int PidfdSend(int fd, int sig, const siginfo_t* info = nullptr, unsigned flags = 0) {
  return static_cast<int>(syscall(SYS_pidfd_send_signal, fd, sig, info, flags));
}
int PidfdGetfd(int fd, int target, unsigned flags = 0) {
  return static_cast<int>(syscall(SYS_pidfd_getfd, fd, target, flags));
}

[[noreturn]] int Pause() {
  for (;;) pause();
}

TEST(PidfdOpenTest, GivesACloseOnExecDescriptor) {
  FileDescriptor fd(PidfdOpen(getpid()));
  ASSERT_TRUE(fd.valid());
  EXPECT_THAT(fcntl(fd.get(), F_GETFD), SyscallSucceedsWithValue(FD_CLOEXEC));
}

TEST(PidfdOpenTest, NonblockFlagIsAStatusFlag) {
  FileDescriptor fd(PidfdOpen(getpid(), O_NONBLOCK));
  ASSERT_TRUE(fd.valid());
  EXPECT_NE(fcntl(fd.get(), F_GETFL) & O_NONBLOCK, 0);
}

TEST(PidfdOpenTest, BadArguments) {
  EXPECT_THAT(PidfdOpen(0), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(PidfdOpen(-1), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(PidfdOpen(0x3ffffff), SyscallFailsWithErrno(ESRCH));
  EXPECT_THAT(PidfdOpen(getpid(), 1), SyscallFailsWithErrno(EINVAL));
}

TEST(PidfdOpenTest, ThreadThatIsNoLeaderIsRefused) {
  Gate finish;
  ScopedThread thread([&] { finish.Wait(); });
  EXPECT_THAT(PidfdOpen(thread.tid()), SyscallFailsWithErrno(testing::AnyOf(ENOENT, EINVAL)));
  finish.Open();
}

TEST(PidfdOpenTest, ZombieCanBeOpenedAndAReapedProcessCannot) {
  const pid_t pid = ForkAndRun([] {});
  ASSERT_TRUE(Eventually([&] { return ProcessState(pid) == 'Z'; }));
  FileDescriptor fd(PidfdOpen(pid));
  EXPECT_TRUE(fd.valid());
  EXPECT_THAT(WaitForChild(pid), ExitedWith(0));
  EXPECT_THAT(PidfdOpen(pid), SyscallFailsWithErrno(ESRCH));
}

TEST(PidfdPollTest, IsReadableWhenTheProcessHasEnded) {
  ScopedChild child(Pause);
  FileDescriptor fd(PidfdOpen(child.pid()));
  pollfd p = {fd.get(), POLLIN, 0};
  EXPECT_THAT(poll(&p, 1, 0), SyscallSucceedsWithValue(0));
  kill(child.pid(), SIGKILL);
  EXPECT_THAT(poll(&p, 1, 20000), SyscallSucceedsWithValue(1));
  EXPECT_EQ(p.revents & POLLIN, POLLIN);
}

TEST(PidfdPollTest, StaysReadableAfterReaping) {
  ScopedChild child([] {});
  FileDescriptor fd(PidfdOpen(child.pid()));
  EXPECT_THAT(child.Wait(), ExitedWith(0));
  pollfd p = {fd.get(), POLLIN, 0};
  EXPECT_THAT(poll(&p, 1, 0), SyscallSucceedsWithValue(1));
  EXPECT_EQ(p.revents & POLLIN, POLLIN);
}

TEST(PidfdPollTest, WaitsForAllThreads) {
  Gate finish;
  ScopedChild child([&]() -> int {
    std::thread([&] {
      finish.Wait();
      _exit(0);
    }).detach();
    syscall(SYS_exit, 0);
    return 1;
  });
  FileDescriptor fd(PidfdOpen(child.pid()));
  ASSERT_TRUE(Eventually([&] { return ProcessState(child.pid()) == 'Z'; }));
  pollfd p = {fd.get(), POLLIN, 0};
  EXPECT_THAT(poll(&p, 1, 20), SyscallSucceedsWithValue(0));
  finish.Open();
  EXPECT_THAT(poll(&p, 1, 20000), SyscallSucceedsWithValue(1));
}

TEST(PidfdSendSignalTest, Delivers) {
  ScopedChild child(Pause);
  FileDescriptor fd(PidfdOpen(child.pid()));
  EXPECT_THAT(PidfdSend(fd.get(), 0), SyscallSucceeds());
  EXPECT_THAT(PidfdSend(fd.get(), SIGKILL), SyscallSucceeds());
  EXPECT_THAT(child.Wait(), KilledBy(SIGKILL));
  EXPECT_THAT(PidfdSend(fd.get(), 0), SyscallFailsWithErrno(ESRCH));
}

TEST(PidfdSendSignalTest, SiginfoWithoutDetailsIsThatOfKill) {
  ScopedSignalMask block(SIG_BLOCK, {SIGUSR1});
  FileDescriptor fd(PidfdOpen(getpid()));
  ASSERT_THAT(PidfdSend(fd.get(), SIGUSR1), SyscallSucceeds());
  siginfo_t info;
  const sigset_t set = SignalSet({SIGUSR1});
  ASSERT_EQ(sigwaitinfo(&set, &info), SIGUSR1);
  EXPECT_EQ(info.si_code, SI_USER);
  EXPECT_EQ(info.si_pid, getpid());
}

TEST(PidfdSendSignalTest, DetailsMustNameTheSameSignalAndMayNotForgeTheKernel) {
  ScopedChild child(Pause);
  FileDescriptor fd(PidfdOpen(child.pid()));
  siginfo_t info = {};
  info.si_signo = SIGUSR2;
  info.si_code = SI_QUEUE;
  EXPECT_THAT(PidfdSend(fd.get(), SIGUSR1, &info), SyscallFailsWithErrno(EINVAL));
  info.si_signo = SIGUSR1;
  info.si_code = SI_USER;
  EXPECT_THAT(PidfdSend(fd.get(), SIGUSR1, &info), SyscallFailsWithErrno(EPERM));
  EXPECT_THAT(PidfdSend(fd.get(), SIGUSR1, BadPointer<siginfo_t>()), SyscallFailsWithErrno(EFAULT));
}

TEST(PidfdSendSignalTest, BadArguments) {
  FileDescriptor fd(PidfdOpen(getpid()));
  EXPECT_THAT(PidfdSend(fd.get(), 65), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(PidfdSend(fd.get(), 0, nullptr, 1u << 31), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(PidfdSend(-1, 0), SyscallFailsWithErrno(EBADF));
  FileDescriptor null = Open("/dev/null", O_RDONLY);
  EXPECT_THAT(PidfdSend(null.get(), 0), SyscallFailsWithErrno(EBADF));
}

TEST(PidfdSendSignalTest, NeedsPermission) {
  SKIP_IF_NOT_ROOT();
  ScopedChild child(Pause);
  FileDescriptor fd(PidfdOpen(child.pid()));
  EXPECT_THAT(RunAsUser([&] { EXPECT_THAT(PidfdSend(fd.get(), SIGTERM), SyscallFailsWithErrno(EPERM)); }),
              ExitedWith(0));
}

TEST(PidfdGetfdTest, DuplicatesADescriptorOfTheOtherProcess) {
  Gate ready;
  int fds[2];
  ASSERT_THAT(pipe(fds), SyscallSucceeds());
  ScopedChild child([&]() -> int {
    dup2(fds[1], 500);
    ready.Open();
    return Pause();
  });
  ready.Wait();
  FileDescriptor pidfd(PidfdOpen(child.pid()));
  FileDescriptor got(PidfdGetfd(pidfd.get(), 500));
  ASSERT_TRUE(got.valid());
  EXPECT_THAT(fcntl(got.get(), F_GETFD), SyscallSucceedsWithValue(FD_CLOEXEC));
  EXPECT_THAT(write(got.get(), "hi", 2), SyscallSucceedsWithValue(2));
  char text[2];
  EXPECT_THAT(read(fds[0], text, 2), SyscallSucceedsWithValue(2));
  close(fds[0]);
  close(fds[1]);
}

TEST(PidfdGetfdTest, BadArguments) {
  FileDescriptor self(PidfdOpen(getpid()));
  EXPECT_THAT(PidfdGetfd(self.get(), 9999), SyscallFailsWithErrno(EBADF));
  EXPECT_THAT(PidfdGetfd(self.get(), 0, 1), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(PidfdGetfd(-1, 0), SyscallFailsWithErrno(EBADF));
}

TEST(PidfdGetfdTest, NeedsPermission) {
  SKIP_IF_NOT_ROOT();
  ScopedChild child(Pause);
  FileDescriptor pidfd(PidfdOpen(child.pid()));
  EXPECT_THAT(RunAsUser([&] { EXPECT_THAT(PidfdGetfd(pidfd.get(), 0), SyscallFailsWithErrno(EPERM)); }),
              ExitedWith(0));
}

TEST(PidfdTest, FdinfoNamesThePid) {
  FileDescriptor fd(PidfdOpen(getpid()));
  const std::string info = Slurp("/proc/self/fdinfo/" + std::to_string(fd.get()));
  EXPECT_NE(info.find("Pid:\t" + std::to_string(getpid()) + "\n"), std::string::npos) << info;
}

TEST(PidfdTest, CannotBeRead) {
  FileDescriptor fd(PidfdOpen(getpid()));
  char byte;
  EXPECT_THAT(read(fd.get(), &byte, 1), SyscallFailsWithErrno(EINVAL));
}

}  // namespace
}  // namespace moat::test
