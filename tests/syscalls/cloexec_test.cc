// Close-on-exec of every call that makes a descriptor, seen from the program executed.
#include <fcntl.h>
#include <linux/memfd.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/inotify.h>
#include <sys/mman.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "tests/util/fd.h"
#include "tests/util/fork.h"
#include "tests/util/matchers.h"
#include "tests/util/process.h"
#include "tests/util/signals.h"
#include "tests/util/temp_path.h"

namespace moat::test {
namespace {

// argv: for each number, "+N" must be open and "-N" closed. Exits with the position of the first that is not
// so.
MOAT_TEST_ROLE(CheckDescriptors) {
  for (int i = 1; i < argc; ++i) {
    if (IsOpen(atoi(argv[i] + 1)) != (argv[i][0] == '+')) return i;
  }
  return 0;
}

struct Maker {
  const char* name;
  int (*make)(bool cloexec);
};
const sigset_t kNoSignals = SignalSet({});
const Maker kMakers[] = {
    {"open", [](bool c) { return open("/dev/null", O_RDONLY | (c ? O_CLOEXEC : 0)); }},
    {"dup", [](bool c) { return fcntl(0, c ? F_DUPFD_CLOEXEC : F_DUPFD, 0); }},
    {"dup3", [](bool c) { return dup3(0, c ? 301 : 300, c ? O_CLOEXEC : 0); }},
    {"epoll", [](bool c) { return epoll_create1(c ? EPOLL_CLOEXEC : 0); }},
    {"eventfd", [](bool c) { return eventfd(0, c ? EFD_CLOEXEC : 0); }},
    {"inotify", [](bool c) { return inotify_init1(c ? IN_CLOEXEC : 0); }},
    {"memfd", [](bool c) { return memfd_create("x", c ? MFD_CLOEXEC : 0); }},
    {"signalfd", [](bool c) { return signalfd(-1, &kNoSignals, c ? SFD_CLOEXEC : 0); }},
    {"socket", [](bool c) { return socket(AF_UNIX, SOCK_STREAM | (c ? SOCK_CLOEXEC : 0), 0); }},
    {"timerfd", [](bool c) { return timerfd_create(CLOCK_MONOTONIC, c ? TFD_CLOEXEC : 0); }},
};

TEST(Cloexec, DecidesForEveryKindOfDescriptor) {
  for (const Maker& maker : kMakers) {
    FileDescriptor keep(maker.make(false)), close(maker.make(true));
    ASSERT_TRUE(keep.valid() && close.valid()) << maker.name;
    EXPECT_THAT(RunRole("CheckDescriptors",
                        {"test", "+" + std::to_string(keep.get()), "-" + std::to_string(close.get())}),
                ExitedWith(0))
        << maker.name;
  }
}

TEST(Cloexec, OfPairs) {
  Pipe keep, close(O_CLOEXEC);
  int fds[2];
  ASSERT_THAT(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), SyscallSucceeds());
  FileDescriptor a(fds[0]), b(fds[1]);
  EXPECT_THAT(
      RunRole("CheckDescriptors",
              {"test", "+" + std::to_string(keep.reader.get()), "+" + std::to_string(keep.writer.get()),
               "-" + std::to_string(close.reader.get()), "-" + std::to_string(close.writer.get()),
               "-" + std::to_string(a.get()), "-" + std::to_string(b.get())}),
      ExitedWith(0));
}

TEST(Cloexec, ClosingByExecIsARealClose) {
  Pipe pipe(O_CLOEXEC);
  Pipe hold;
  ScopedChild child([&]() -> int {
    ExecRole("CheckDescriptors", {"test", "-" + std::to_string(pipe.writer.get())});
    return 127;
  });
  pipe.writer.Reset();
  // The child's copy went with its exec.
  EXPECT_EQ(ReadAll(pipe.reader.get()), "");
  EXPECT_THAT(child.Wait(), ExitedWith(0));
}

// argv[1] is an inherited descriptor of a file: reads from it, and from it only if its offset is 3.
MOAT_TEST_ROLE(ReadOn) {
  char buf[4] = {};
  if (read(atoi(argv[1]), buf, 3) != 3) return 1;
  return std::string(buf) == "345" ? 0 : 2;
}

TEST(Cloexec, KeptDescriptorsKeepTheirOffset) {
  TempFile file("0123456789");
  FileDescriptor fd = Open(file.path(), O_RDONLY);
  ReadAll(fd.get(), 3);
  EXPECT_THAT(RunRole("ReadOn", {"test", std::to_string(fd.get())}), ExitedWith(0));
  EXPECT_EQ(ReadAll(fd.get(), 2), "67");
}

// argv[1]: a file that must be locked by someone else exactly if argv[2] is "locked".
MOAT_TEST_ROLE(TryFlock) {
  FileDescriptor fd(open(argv[1], O_RDWR));
  const bool free = flock(fd.get(), LOCK_EX | LOCK_NB) == 0;
  return free == (std::string(argv[2]) == "free") ? 0 : 1;
}

TEST(Cloexec, ReleasesTheLocksOfClosedDescriptions) {
  TempFile file;
  EXPECT_THAT(RunInChild([&]() -> int {
                FileDescriptor fd = Open(file.path(), O_RDWR | O_CLOEXEC);
                if (flock(fd.get(), LOCK_EX) != 0) return 3;
                ExecRole("TryFlock", {"test", file.path(), "free"});
                return 127;
              }),
              ExitedWith(0));
  EXPECT_THAT(RunInChild([&]() -> int {
                FileDescriptor fd = Open(file.path(), O_RDWR);
                if (flock(fd.get(), LOCK_EX) != 0) return 3;
                ExecRole("TryFlock", {"test", file.path(), "locked"});
                return 127;
              }),
              ExitedWith(0));
}

// argv[1]: a file whose first byte this process must still have locked: a child must not get it.
MOAT_TEST_ROLE(StillLocked) {
  const std::string path = argv[1];
  const int status = RunInChild([&]() -> int {
    FileDescriptor fd(open(path.c_str(), O_RDWR));
    struct flock lock = {};
    lock.l_type = F_WRLCK;
    lock.l_len = 1;
    return fcntl(fd.get(), F_SETLK, &lock) == -1 && errno == EAGAIN ? 0 : 1;
  });
  return WEXITSTATUS(status);
}

TEST(Exec, KeepsRecordLocks) {
  TempFile file;
  EXPECT_THAT(RunInChild([&]() -> int {
                FileDescriptor fd = Open(file.path(), O_RDWR);
                struct flock lock = {};
                lock.l_type = F_WRLCK;
                lock.l_len = 1;
                if (fcntl(fd.get(), F_SETLK, &lock) != 0) return 3;
                ExecRole("StillLocked", {"test", file.path()});
                return 127;
              }),
              ExitedWith(0));
}

// argv[1]: what the working directory must be, argv[2]: the umask in octal.
MOAT_TEST_ROLE(CheckDirectoryAndUmask) {
  char buf[4096];
  if (!getcwd(buf, sizeof(buf)) || std::string(buf) != argv[1]) return 1;
  return umask(0) == strtoul(argv[2], nullptr, 8) ? 0 : 2;
}

TEST(Exec, KeepsWorkingDirectoryAndUmask) {
  TempDir dir;
  EXPECT_THAT(RunInChild([&]() -> int {
                umask(0135);
                if (chdir(dir.path().c_str()) != 0) return 3;
                ExecRole("CheckDirectoryAndUmask", {"test", dir.path(), "0135"});
                return 127;
              }),
              ExitedWith(0));
}

}  // namespace
}  // namespace moat::test

MOAT_TEST_MAIN_WITH_ROLES()
