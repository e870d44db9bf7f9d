// /proc/PID/fdinfo of each kind of file, and /proc/locks.
#include <fcntl.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/inotify.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include <cstdio>
#include <string>
#include <vector>

#include "tests/util/fd.h"
#include "tests/util/fork.h"
#include "tests/util/matchers.h"
#include "tests/util/record_lock.h"
#include "tests/util/signals.h"
#include "tests/util/temp_path.h"
#include "tests/util/thread.h"

namespace moat::test {
namespace {

using testing::ContainsRegex;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

std::string FdInfo(int fd) { return ReadFile("/proc/self/fdinfo/" + std::to_string(fd)); }

// Lines of `text` with `word` in them, without what stands before the word.
std::vector<std::string> LinesWith(const std::string& text, const std::string& word) {
  std::vector<std::string> out;
  size_t at = 0;
  while (at < text.size()) {
    const size_t end = std::min(text.find('\n', at), text.size());
    const std::string line = text.substr(at, end - at);
    if (const size_t found = line.find(word); found != std::string::npos) out.push_back(line.substr(found));
    at = end + 1;
  }
  return out;
}

// "MAJOR:MINOR:INODE" as lock lines have it.
std::string NameOf(int fd) {
  struct stat st;
  EXPECT_THAT(fstat(fd, &st), SyscallSucceeds());
  char text[64];
  snprintf(text, sizeof text, "%02x:%02x:%lu", major(st.st_dev), minor(st.st_dev), st.st_ino);
  return text;
}

TEST(Fdinfo, EventfdShowsCountAndKind) {
  FileDescriptor plain(eventfd(0x1f, 0)), semaphore(eventfd(0, EFD_SEMAPHORE));
  EXPECT_THAT(FdInfo(plain.get()), HasSubstr("eventfd-count:               1f\n"));
  EXPECT_THAT(FdInfo(plain.get()), HasSubstr("eventfd-semaphore: 0\n"));
  EXPECT_THAT(FdInfo(semaphore.get()), HasSubstr("eventfd-count:                0\n"));
  EXPECT_THAT(FdInfo(semaphore.get()), HasSubstr("eventfd-semaphore: 1\n"));
  EXPECT_THAT(FdInfo(plain.get()), ContainsRegex("eventfd-id: [0-9]+\n"));
}

TEST(Fdinfo, TimerfdShowsItsSetting) {
  FileDescriptor timer(timerfd_create(CLOCK_BOOTTIME, 0));
  EXPECT_THAT(FdInfo(timer.get()),
              HasSubstr("clockid: 7\nticks: 0\nsettime flags: 00\nit_value: (0, 0)\nit_interval: (0, 0)\n"));
  itimerspec setting = {{3, 5}, {1000, 0}};
  ASSERT_THAT(timerfd_settime(timer.get(), 0, &setting, nullptr), SyscallSucceeds());
  EXPECT_THAT(FdInfo(timer.get()), HasSubstr("it_value: (999, "));
  EXPECT_THAT(FdInfo(timer.get()), HasSubstr("it_interval: (3, 5)\n"));
  setting = {{0, 0}, {0, 1}};  // long ago
  ASSERT_THAT(timerfd_settime(timer.get(), TFD_TIMER_ABSTIME, &setting, nullptr), SyscallSucceeds());
  pollfd ready = {timer.get(), POLLIN, 0};
  ASSERT_THAT(poll(&ready, 1, 5000), SyscallSucceedsWithValue(1));
  EXPECT_THAT(FdInfo(timer.get()), HasSubstr("ticks: 1\nsettime flags: 01\nit_value: (0, 0)\n"));
}

TEST(Fdinfo, SignalfdShowsItsMask) {
  const sigset_t set = SignalSet({SIGHUP, SIGUSR1});
  FileDescriptor signals(signalfd(-1, &set, 0));
  EXPECT_THAT(FdInfo(signals.get()), HasSubstr("sigmask:\t0000000000000201\n"));
}

TEST(Fdinfo, PidfdShowsWhomItMeans) {
  ScopedChild child([] { pause(); });
  FileDescriptor fd(static_cast<int>(syscall(SYS_pidfd_open, child.pid(), 0)));
  const std::string pid = std::to_string(child.pid());
  EXPECT_THAT(FdInfo(fd.get()), HasSubstr("Pid:\t" + pid + "\nNSpid:\t" + pid + "\n"));
  kill(child.pid(), SIGKILL);
  child.Wait();
  EXPECT_THAT(FdInfo(fd.get()), HasSubstr("Pid:\t-1\nNSpid:\t-1\n"));
}

TEST(Fdinfo, EpollShowsWhatItWatches) {
  FileDescriptor poller(epoll_create1(0)), event(eventfd(0, 0));
  epoll_event wanted = {};
  wanted.events = EPOLLIN | EPOLLET;
  wanted.data.u64 = 0xabcdef;
  ASSERT_THAT(epoll_ctl(poller.get(), EPOLL_CTL_ADD, event.get(), &wanted), SyscallSucceeds());
  struct stat st;
  ASSERT_THAT(fstat(event.get(), &st), SyscallSucceeds());
  char line[128];
  snprintf(line, sizeof line, "tfd: %8d events: 80000019 data:           abcdef  pos:0 ino:%lx sdev:", event.get(), st.st_ino);
  EXPECT_THAT(FdInfo(poller.get()), HasSubstr(line));
}

TEST(Fdinfo, InotifyShowsItsWatches) {
  TempDir dir;
  FileDescriptor notify(inotify_init1(0));
  ASSERT_THAT(inotify_add_watch(notify.get(), dir.path().c_str(), IN_CREATE | IN_DELETE), SyscallSucceedsWithValue(1));
  struct stat st;
  ASSERT_THAT(stat(dir.path().c_str(), &st), SyscallSucceeds());
  char line[64];
  snprintf(line, sizeof line, "inotify wd:1 ino:%lx sdev:", st.st_ino);
  EXPECT_THAT(FdInfo(notify.get()), HasSubstr(line));
  EXPECT_THAT(FdInfo(notify.get()), HasSubstr("mask:300 ignored_mask:0"));
}

// --- Locks. ---

TEST(Fdinfo, LocksAreShownWhereTheyWereTaken) {
  TempFile file;
  FileDescriptor a = file.Open(), b = file.Open(), c = file.Open();
  struct flock record = RecordLock(F_WRLCK, 5, 10), open_file = RecordLock(F_RDLCK, 100, 0);
  ASSERT_THAT(flock(a.get(), LOCK_EX), SyscallSucceeds());
  EXPECT_THAT(LinesWith(FdInfo(a.get()), "lock:"),
              ElementsAre("lock:\t1: FLOCK  ADVISORY  WRITE " + std::to_string(getpid()) + " " + NameOf(a.get()) + " 0 EOF"));
  ASSERT_THAT(fcntl(c.get(), F_OFD_SETLK, &open_file), SyscallSucceeds());
  EXPECT_THAT(LinesWith(FdInfo(c.get()), "lock:"),
              ElementsAre("lock:\t1: OFDLCK ADVISORY  READ -1 " + NameOf(a.get()) + " 100 EOF"));
  EXPECT_THAT(LinesWith(FdInfo(b.get()), "lock:"), IsEmpty());
  ASSERT_THAT(fcntl(b.get(), F_SETLK, &record), SyscallSucceeds());
  EXPECT_THAT(LinesWith(FdInfo(b.get()), "lock:"),
              ElementsAre("lock:\t1: POSIX  ADVISORY  WRITE " + std::to_string(getpid()) + " " + NameOf(a.get()) + " 5 14"));
}

TEST(ProcLocks, ListsAllKinds) {
  TempFile file;
  FileDescriptor a = file.Open(), b = file.Open();
  const std::string pid = std::to_string(getpid()), name = NameOf(a.get());
  struct flock record = RecordLock(F_RDLCK, 0, 1), open_file = RecordLock(F_WRLCK, 7, 2);
  ASSERT_THAT(flock(a.get(), LOCK_SH), SyscallSucceeds());
  ASSERT_THAT(fcntl(a.get(), F_SETLK, &record), SyscallSucceeds());
  ASSERT_THAT(fcntl(b.get(), F_OFD_SETLK, &open_file), SyscallSucceeds());
  const std::string all = ReadFile("/proc/locks");
  EXPECT_THAT(LinesWith(all, "FLOCK  ADVISORY  READ " + pid + " " + name + " 0 EOF").size(), 1u) << all;
  EXPECT_THAT(LinesWith(all, "POSIX  ADVISORY  READ " + pid + " " + name + " 0 0").size(), 1u) << all;
  EXPECT_THAT(LinesWith(all, "OFDLCK ADVISORY  WRITE -1 " + name + " 7 8").size(), 1u) << all;
  b.Reset();
  a.Reset();
  EXPECT_THAT(ReadFile("/proc/locks"), Not(HasSubstr(name)));
}

// --- /proc/loadavg. ---

struct Load {
  double one = -1, five = -1, fifteen = -1;
  int running = 0, tasks = 0, last_pid = 0;
};
Load ReadLoad() {
  Load l;
  EXPECT_EQ(sscanf(ReadFile("/proc/loadavg").c_str(), "%lf %lf %lf %d/%d %d", &l.one, &l.five, &l.fifteen, &l.running, &l.tasks,
                   &l.last_pid),
            6);
  return l;
}

TEST(ProcLoadavg, CountsTasksAndNamesTheLastPid) {
  const Load before = ReadLoad();
  EXPECT_GE(before.running, 1);  // the reader
  EXPECT_GE(before.tasks, before.running);
  Pipe hold;
  ScopedThread thread([&] { ReadAll(hold.reader.get(), 1); });
  thread.WaitUntilAsleep();
  EXPECT_GE(ReadLoad().tasks, 2);
  WriteAll(hold.writer.get(), "x");
}

}  // namespace
}  // namespace moat::test
