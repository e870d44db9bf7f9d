// epoll(7).
#include <fcntl.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "tests/util/fd.h"
#include "tests/util/fork.h"
#include "tests/util/matchers.h"
#include "tests/util/memory.h"
#include "tests/util/signals.h"
#include "tests/util/temp_path.h"
#include "tests/util/thread.h"

namespace moat::test {
namespace {

class Epoll : public testing::Test {
 protected:
  int Ctl(int op, int fd, uint32_t events, uint64_t data = 0) {
    epoll_event event = {events, {.u64 = data}};
    return epoll_ctl(ep_.get(), op, fd, &event);
  }
  int Add(int fd, uint32_t events, uint64_t data = 0) { return Ctl(EPOLL_CTL_ADD, fd, events, data); }
  int Mod(int fd, uint32_t events, uint64_t data = 0) { return Ctl(EPOLL_CTL_MOD, fd, events, data); }
  int Del(int fd) { return Ctl(EPOLL_CTL_DEL, fd, 0); }

  // The events ready within `timeout_ms`.
  std::vector<epoll_event> Wait(int max = 16, int timeout_ms = 0) {
    std::vector<epoll_event> events(static_cast<size_t>(max));
    const int n = epoll_wait(ep_.get(), events.data(), max, timeout_ms);
    EXPECT_THAT(n, SyscallSucceeds());
    events.resize(n < 0 ? 0 : static_cast<size_t>(n));
    return events;
  }
  // The event bits of the single ready entry, or 0 if there is none.
  uint32_t Ready() {
    const std::vector<epoll_event> events = Wait();
    EXPECT_LE(events.size(), 1u);
    return events.empty() ? 0 : events[0].events;
  }

  FileDescriptor ep_{epoll_create1(EPOLL_CLOEXEC)};
  Pipe pipe_{O_NONBLOCK};
};

TEST_F(Epoll, CreateFlagsAndSizes) {
  EXPECT_THAT(fcntl(ep_.get(), F_GETFD), SyscallSucceedsWithValue(FD_CLOEXEC));
  EXPECT_THAT(epoll_create1(1), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(epoll_create(0), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(epoll_create(-1), SyscallFailsWithErrno(EINVAL));
  FileDescriptor old(epoll_create(1));
  EXPECT_TRUE(old.valid());
}

TEST_F(Epoll, LevelTriggeredRepeatsUntilConsumed) {
  ASSERT_THAT(Add(pipe_.reader.get(), EPOLLIN, 0x1122334455667788), SyscallSucceeds());
  EXPECT_EQ(Ready(), 0u);
  EXPECT_TRUE(WriteAll(pipe_.writer.get(), "ab"));
  for (int i = 0; i < 2; ++i) {
    const std::vector<epoll_event> events = Wait();
    ASSERT_EQ(events.size(), 1u);
    EXPECT_EQ(events[0].events, static_cast<uint32_t>(EPOLLIN));
    EXPECT_EQ(events[0].data.u64, 0x1122334455667788u);
    ReadAll(pipe_.reader.get(), 1);
  }
  EXPECT_EQ(Ready(), 0u);
}

TEST_F(Epoll, EdgeTriggeredReportsNewDataOnly) {
  ASSERT_THAT(Add(pipe_.reader.get(), EPOLLIN | EPOLLET), SyscallSucceeds());
  EXPECT_TRUE(WriteAll(pipe_.writer.get(), "a"));
  EXPECT_EQ(Ready(), static_cast<uint32_t>(EPOLLIN));
  EXPECT_EQ(Ready(), 0u);
  // More data is a new edge although the old was never read.
  EXPECT_TRUE(WriteAll(pipe_.writer.get(), "b"));
  EXPECT_EQ(Ready(), static_cast<uint32_t>(EPOLLIN));
  EXPECT_EQ(Ready(), 0u);
}

TEST_F(Epoll, EdgeTriggeredSeesWhatWasReadyWhenAdded) {
  EXPECT_TRUE(WriteAll(pipe_.writer.get(), "a"));
  ASSERT_THAT(Add(pipe_.reader.get(), EPOLLIN | EPOLLET), SyscallSucceeds());
  EXPECT_EQ(Ready(), static_cast<uint32_t>(EPOLLIN));
  EXPECT_EQ(Ready(), 0u);
  // Modifying looks again.
  ASSERT_THAT(Mod(pipe_.reader.get(), EPOLLIN | EPOLLET), SyscallSucceeds());
  EXPECT_EQ(Ready(), static_cast<uint32_t>(EPOLLIN));
}

TEST_F(Epoll, OneshotDisarmsUntilModified) {
  ASSERT_THAT(Add(pipe_.reader.get(), EPOLLIN | EPOLLONESHOT), SyscallSucceeds());
  EXPECT_TRUE(WriteAll(pipe_.writer.get(), "a"));
  EXPECT_EQ(Ready(), static_cast<uint32_t>(EPOLLIN));
  EXPECT_TRUE(WriteAll(pipe_.writer.get(), "b"));
  EXPECT_EQ(Ready(), 0u);
  ASSERT_THAT(Mod(pipe_.reader.get(), EPOLLIN | EPOLLONESHOT), SyscallSucceeds());
  EXPECT_EQ(Ready(), static_cast<uint32_t>(EPOLLIN));
  EXPECT_EQ(Ready(), 0u);
}

TEST_F(Epoll, HangupAndErrorNeedNoRequest) {
  ASSERT_THAT(Add(pipe_.reader.get(), 0), SyscallSucceeds());
  EXPECT_EQ(Ready(), 0u);
  pipe_.writer.Reset();
  EXPECT_EQ(Ready(), static_cast<uint32_t>(EPOLLHUP));
}

TEST_F(Epoll, ModifyChangesEventsAndData) {
  ASSERT_THAT(Add(pipe_.writer.get(), 0, 1), SyscallSucceeds());
  EXPECT_EQ(Ready(), 0u);
  ASSERT_THAT(Mod(pipe_.writer.get(), EPOLLOUT, 2), SyscallSucceeds());
  const std::vector<epoll_event> events = Wait();
  ASSERT_EQ(events.size(), 1u);
  EXPECT_EQ(events[0].data.u64, 2u);
}

TEST_F(Epoll, DeletedEntriesAreSilent) {
  EXPECT_TRUE(WriteAll(pipe_.writer.get(), "a"));
  ASSERT_THAT(Add(pipe_.reader.get(), EPOLLIN), SyscallSucceeds());
  ASSERT_THAT(epoll_ctl(ep_.get(), EPOLL_CTL_DEL, pipe_.reader.get(), nullptr), SyscallSucceeds());
  EXPECT_EQ(Ready(), 0u);
  EXPECT_THAT(Del(pipe_.reader.get()), SyscallFailsWithErrno(ENOENT));
}

TEST_F(Epoll, ClosingTheLastDescriptorRemovesTheEntry) {
  EXPECT_TRUE(WriteAll(pipe_.writer.get(), "a"));
  ASSERT_THAT(Add(pipe_.reader.get(), EPOLLIN, 7), SyscallSucceeds());
  FileDescriptor copy(dup(pipe_.reader.get()));
  pipe_.reader.Reset();
  // The description lives on, and so does the entry.
  EXPECT_EQ(Ready(), static_cast<uint32_t>(EPOLLIN));
  copy.Reset();
  EXPECT_EQ(Ready(), 0u);
}

TEST_F(Epoll, CopiesOfADescriptorAreSeparateEntries) {
  EXPECT_TRUE(WriteAll(pipe_.writer.get(), "a"));
  FileDescriptor copy(dup(pipe_.reader.get()));
  ASSERT_THAT(Add(pipe_.reader.get(), EPOLLIN, 1), SyscallSucceeds());
  ASSERT_THAT(Add(copy.get(), EPOLLIN, 2), SyscallSucceeds());
  EXPECT_EQ(Wait().size(), 2u);
  EXPECT_THAT(Add(copy.get(), EPOLLIN, 2), SyscallFailsWithErrno(EEXIST));
}

TEST_F(Epoll, ManyReadyEntriesAreServedInTurn) {
  std::vector<FileDescriptor> fds;
  for (uint64_t i = 0; i < 8; ++i) {
    fds.emplace_back(eventfd(1, 0));
    ASSERT_THAT(Add(fds.back().get(), EPOLLIN, i), SyscallSucceeds());
  }
  uint64_t seen = 0;
  for (int round = 0; round < 4; ++round) {
    const std::vector<epoll_event> events = Wait(2);
    ASSERT_EQ(events.size(), 2u);
    for (const epoll_event& event : events) seen |= uint64_t{1} << event.data.u64;
  }
  // No entry starves although all stay ready.
  EXPECT_EQ(seen, 0xffu);
}

TEST_F(Epoll, WaitWakesForLaterEvents) {
  ASSERT_THAT(Add(pipe_.reader.get(), EPOLLIN), SyscallSucceeds());
  ScopedThread writer([&] {
    SleepMs(20);
    WriteAll(pipe_.writer.get(), "x");
  });
  EXPECT_EQ(Wait(1, -1).size(), 1u);
}

TEST_F(Epoll, EntriesAddedWhileWaitingWakeTheWaiter) {
  EXPECT_TRUE(WriteAll(pipe_.writer.get(), "x"));
  ScopedThread waiter([&] { EXPECT_EQ(Wait(1, -1).size(), 1u); });
  waiter.WaitUntilAsleep();
  EXPECT_THAT(Add(pipe_.reader.get(), EPOLLIN), SyscallSucceeds());
}

TEST_F(Epoll, DescriptorIsReadableWhenAnEntryIsReady) {
  ASSERT_THAT(Add(pipe_.reader.get(), EPOLLIN), SyscallSucceeds());
  pollfd pfd = {ep_.get(), POLLIN, 0};
  EXPECT_THAT(poll(&pfd, 1, 0), SyscallSucceedsWithValue(0));
  EXPECT_TRUE(WriteAll(pipe_.writer.get(), "x"));
  EXPECT_THAT(poll(&pfd, 1, 0), SyscallSucceedsWithValue(1));
  EXPECT_EQ(pfd.revents, POLLIN);
}

TEST_F(Epoll, NestedInstancesReportInnerReadiness) {
  FileDescriptor outer(epoll_create1(0));
  epoll_event event = {EPOLLIN, {.u64 = 5}};
  ASSERT_THAT(epoll_ctl(outer.get(), EPOLL_CTL_ADD, ep_.get(), &event), SyscallSucceeds());
  ASSERT_THAT(Add(pipe_.reader.get(), EPOLLIN), SyscallSucceeds());
  EXPECT_THAT(epoll_wait(outer.get(), &event, 1, 0), SyscallSucceedsWithValue(0));
  EXPECT_TRUE(WriteAll(pipe_.writer.get(), "x"));
  EXPECT_THAT(epoll_wait(outer.get(), &event, 1, -1), SyscallSucceedsWithValue(1));
  EXPECT_EQ(event.data.u64, 5u);
}

TEST_F(Epoll, LoopsAreRefused) {
  FileDescriptor other(epoll_create1(0));
  epoll_event event = {EPOLLIN, {}};
  EXPECT_THAT(Add(ep_.get(), EPOLLIN), SyscallFailsWithErrno(EINVAL));
  ASSERT_THAT(Add(other.get(), EPOLLIN), SyscallSucceeds());
  EXPECT_THAT(epoll_ctl(other.get(), EPOLL_CTL_ADD, ep_.get(), &event), SyscallFailsWithErrno(ELOOP));
}

TEST_F(Epoll, ChainsAreLimited) {
  std::vector<FileDescriptor> chain;
  chain.emplace_back(epoll_create1(0));
  int error = 0;
  for (int i = 0; i < 10 && !error; ++i) {
    FileDescriptor next(epoll_create1(0));
    epoll_event event = {EPOLLIN, {}};
    if (epoll_ctl(next.get(), EPOLL_CTL_ADD, chain.back().get(), &event) != 0) error = errno;
    chain.push_back(std::move(next));
  }
  EXPECT_TRUE(error == ELOOP || error == EINVAL) << ErrnoText(error);
}

TEST_F(Epoll, FilesThatCannotPollAreRefused) {
  TempFile file;
  FileDescriptor fd = file.Open(), dir = Open(file.dir().path(), O_RDONLY);
  EXPECT_THAT(Add(fd.get(), EPOLLIN), SyscallFailsWithErrno(EPERM));
  EXPECT_THAT(Add(dir.get(), EPOLLIN), SyscallFailsWithErrno(EPERM));
}

TEST_F(Epoll, BadCtlArguments) {
  EXPECT_THAT(Add(-1, EPOLLIN), SyscallFailsWithErrno(EBADF));
  EXPECT_THAT(Mod(pipe_.reader.get(), EPOLLIN), SyscallFailsWithErrno(ENOENT));
  EXPECT_THAT(Ctl(77, pipe_.reader.get(), EPOLLIN), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(epoll_ctl(ep_.get(), EPOLL_CTL_ADD, pipe_.reader.get(), BadPointer<epoll_event>()),
              SyscallFailsWithErrno(EFAULT));
  epoll_event event = {};
  EXPECT_THAT(epoll_ctl(pipe_.reader.get(), EPOLL_CTL_ADD, pipe_.writer.get(), &event),
              SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(epoll_ctl(-1, EPOLL_CTL_ADD, pipe_.writer.get(), &event), SyscallFailsWithErrno(EBADF));
}

TEST_F(Epoll, BadWaitArguments) {
  epoll_event event;
  EXPECT_THAT(epoll_wait(ep_.get(), &event, 0, 0), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(epoll_wait(ep_.get(), &event, -1, 0), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(epoll_wait(pipe_.reader.get(), &event, 1, 0), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(epoll_wait(-1, &event, 1, 0), SyscallFailsWithErrno(EBADF));
  ASSERT_THAT(Add(pipe_.writer.get(), EPOLLOUT), SyscallSucceeds());
  EXPECT_THAT(epoll_wait(ep_.get(), BadPointer<epoll_event>(), 1, 0), SyscallFailsWithErrno(EFAULT));
  // The event that could not be delivered is not lost.
  EXPECT_EQ(Ready(), static_cast<uint32_t>(EPOLLOUT));
}

TEST_F(Epoll, ExclusiveAllowsFewFlagsAndNoModify) {
  EXPECT_THAT(Add(pipe_.reader.get(), EPOLLIN | EPOLLEXCLUSIVE | EPOLLONESHOT),
              SyscallFailsWithErrno(EINVAL));
  ASSERT_THAT(Add(pipe_.reader.get(), EPOLLIN | EPOLLEXCLUSIVE | EPOLLET), SyscallSucceeds());
  EXPECT_THAT(Mod(pipe_.reader.get(), EPOLLIN), SyscallFailsWithErrno(EINVAL));
  EXPECT_TRUE(WriteAll(pipe_.writer.get(), "x"));
  EXPECT_EQ(Ready(), static_cast<uint32_t>(EPOLLIN));
  FileDescriptor inner(epoll_create1(0));
  EXPECT_THAT(Add(inner.get(), EPOLLIN | EPOLLEXCLUSIVE), SyscallFailsWithErrno(EINVAL));
}

TEST_F(Epoll, PwaitSwapsTheMaskAndIsInterrupted) {
  ScopedSignalMask block(SIG_BLOCK, {SIGUSR1});
  SignalCounter usr1(SIGUSR1, SA_RESTART);
  raise(SIGUSR1);
  const sigset_t none = SignalSet({});
  epoll_event event;
  EXPECT_THAT(epoll_pwait(ep_.get(), &event, 1, -1, &none), SyscallFailsWithErrno(EINTR));
  EXPECT_EQ(usr1.count(), 1);
}

TEST_F(Epoll, Pwait2TakesNanoseconds) {
  epoll_event event;
  timespec timeout = {0, 5000000};
  const long start = MonotonicNs();
  EXPECT_THAT(syscall(SYS_epoll_pwait2, ep_.get(), &event, 1, &timeout, nullptr, size_t{8}),
              SyscallSucceedsWithValue(0));
  EXPECT_GE(MonotonicNs() - start, 5000000);
  timeout.tv_nsec = 1000000000;
  EXPECT_THAT(syscall(SYS_epoll_pwait2, ep_.get(), &event, 1, &timeout, nullptr, size_t{8}),
              SyscallFailsWithErrno(EINVAL));
}

TEST_F(Epoll, SharedWithAChildThroughFork) {
  ASSERT_THAT(Add(pipe_.reader.get(), EPOLLIN), SyscallSucceeds());
  EXPECT_TRUE(WriteAll(pipe_.writer.get(), "x"));
  EXPECT_THAT(RunInChild([&] {
                EXPECT_EQ(Ready(), static_cast<uint32_t>(EPOLLIN));
                EXPECT_THAT(Del(pipe_.reader.get()), SyscallSucceeds());
              }),
              ExitedWith(0));
  EXPECT_EQ(Ready(), 0u);
}

TEST_F(Epoll, SocketShutdownShowsAsRdhup) {
  int fds[2];
  ASSERT_THAT(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), SyscallSucceeds());
  FileDescriptor a(fds[0]), b(fds[1]);
  ASSERT_THAT(Add(a.get(), EPOLLRDHUP | EPOLLET), SyscallSucceeds());
  EXPECT_EQ(Ready(), 0u);
  ASSERT_THAT(shutdown(b.get(), SHUT_WR), SyscallSucceeds());
  EXPECT_EQ(Ready(), static_cast<uint32_t>(EPOLLRDHUP));
}

}  // namespace
}  // namespace moat::test
