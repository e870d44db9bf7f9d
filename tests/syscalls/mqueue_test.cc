// POSIX message queues: mq_open, mq_send, mq_receive, mq_notify, mq_getattr, mq_unlink.
#include <fcntl.h>
#include <mqueue.h>
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

#include <string>

#include "tests/util/fork.h"
#include "tests/util/matchers.h"
#include "tests/util/memory.h"
#include "tests/util/process.h"
#include "tests/util/signals.h"

namespace moat::test {
namespace {

// A queue of the test's own, gone at the end of the scope.
class Queue {
 public:
  explicit Queue(long messages = 4, long size = 16, int flags = 0) {
    mq_attr attr = {};
    attr.mq_maxmsg = messages;
    attr.mq_msgsize = size;
    fd_ = mq_open(name_.c_str(), O_CREAT | O_EXCL | O_RDWR | flags, 0600, &attr);
    EXPECT_THAT(fd_, SyscallSucceeds());
  }
  ~Queue() {
    mq_close(fd_);
    mq_unlink(name_.c_str());
  }
  int fd() const { return fd_; }
  const char* name() const { return name_.c_str(); }
  int Send(const std::string& text, unsigned priority = 0) const {
    return mq_send(fd_, text.data(), text.size(), priority);
  }
  std::string Receive(unsigned* priority = nullptr) const {
    char buf[64];
    ssize_t n = mq_receive(fd_, buf, sizeof buf, priority);
    return n < 0 ? strerror(errno) : std::string(buf, static_cast<size_t>(n));
  }
  mq_attr Attr() const {
    mq_attr attr = {};
    EXPECT_THAT(mq_getattr(fd_, &attr), SyscallSucceeds());
    return attr;
  }

 private:
  static inline int count_ = 0;
  const std::string name_ = "/moat-test-" + std::to_string(getpid()) + "-" + std::to_string(count_++);
  int fd_;
};

timespec InTheFuture(long ns) {
  timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  now.tv_nsec += ns;
  now.tv_sec += now.tv_nsec / 1000000000;
  now.tv_nsec %= 1000000000;
  return now;
}

TEST(Mqueue, HighestPriorityFirstThenOldest) {
  Queue q;
  for (auto [text, priority] : {std::pair{"low", 0u}, {"high", 7u}, {"high2", 7u}}) {
    EXPECT_THAT(q.Send(text, priority), SyscallSucceeds());
  }
  unsigned priority = 0;
  EXPECT_EQ(q.Receive(&priority), "high");
  EXPECT_EQ(priority, 7u);
  EXPECT_EQ(q.Receive(), "high2");
  EXPECT_EQ(q.Receive(&priority), "low");
  EXPECT_EQ(priority, 0u);
}

TEST(Mqueue, AttributesAreThoseAskedForAndCount) {
  Queue q(3, 10);
  mq_attr attr = q.Attr();
  EXPECT_EQ(attr.mq_maxmsg, 3);
  EXPECT_EQ(attr.mq_msgsize, 10);
  EXPECT_EQ(attr.mq_flags, 0);
  q.Send("x");
  q.Send("");
  EXPECT_EQ(q.Attr().mq_curmsgs, 2);
  EXPECT_NE(fcntl(q.fd(), F_GETFD) & FD_CLOEXEC, 0);
}

TEST(Mqueue, NonblockingIsSetByAttribute) {
  Queue q(1, 8);
  mq_attr attr = {}, old = {};
  attr.mq_flags = O_NONBLOCK;
  EXPECT_THAT(mq_setattr(q.fd(), &attr, &old), SyscallSucceeds());
  EXPECT_EQ(old.mq_flags, 0);
  EXPECT_EQ(q.Attr().mq_flags, O_NONBLOCK);
  char buf[8];
  EXPECT_THAT(mq_receive(q.fd(), buf, sizeof buf, nullptr), SyscallFailsWithErrno(EAGAIN));
  q.Send("1");
  EXPECT_THAT(q.Send("2"), SyscallFailsWithErrno(EAGAIN));
  attr.mq_flags = O_APPEND;
  EXPECT_THAT(mq_setattr(q.fd(), &attr, nullptr), SyscallFailsWithErrno(EINVAL));
}

TEST(Mqueue, OpenErrors) {
  Queue q;
  EXPECT_THAT(mq_open(q.name(), O_CREAT | O_EXCL | O_RDWR, 0600, nullptr), SyscallFailsWithErrno(EEXIST));
  EXPECT_THAT(mq_open("/moat-test-none", O_RDWR), SyscallFailsWithErrno(ENOENT));
  EXPECT_THAT(mq_open("/a/b", O_RDWR | O_CREAT, 0600, nullptr), SyscallFailsWithErrno(EACCES));
  EXPECT_THAT(mq_open(("/" + std::string(256, 'x')).c_str(), O_RDWR), SyscallFailsWithErrno(ENAMETOOLONG));
  mq_attr attr = {};
  EXPECT_THAT(mq_open("/moat-test-none", O_RDWR | O_CREAT, 0600, &attr), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(mq_unlink("/moat-test-none"), SyscallFailsWithErrno(ENOENT));
}

TEST(Mqueue, TransferErrors) {
  Queue q(4, 8);
  EXPECT_THAT(q.Send("123456789"), SyscallFailsWithErrno(EMSGSIZE));
  EXPECT_THAT(q.Send("1", 32768), SyscallFailsWithErrno(EINVAL));
  char buf[8];
  EXPECT_THAT(mq_receive(q.fd(), buf, 7, nullptr), SyscallFailsWithErrno(EMSGSIZE));
  EXPECT_THAT(mq_send(-1, buf, 1, 0), SyscallFailsWithErrno(EBADF));
  int pipe_fds[2];
  ASSERT_THAT(pipe(pipe_fds), SyscallSucceeds());
  EXPECT_THAT(mq_send(pipe_fds[1], buf, 1, 0), SyscallFailsWithErrno(EBADF));
  close(pipe_fds[0]);
  close(pipe_fds[1]);
  int reader = mq_open(q.name(), O_RDONLY);
  EXPECT_THAT(mq_send(reader, buf, 1, 0), SyscallFailsWithErrno(EBADF));
  close(reader);
}

TEST(Mqueue, TimeoutIsAbsoluteRealTime) {
  Queue q(1, 8);
  char buf[8];
  timespec deadline = InTheFuture(20000000);
  const long start = MonotonicNs();
  EXPECT_THAT(mq_timedreceive(q.fd(), buf, sizeof buf, nullptr, &deadline), SyscallFailsWithErrno(ETIMEDOUT));
  EXPECT_GE(MonotonicNs() - start, 15000000);
  q.Send("x");
  EXPECT_THAT(mq_timedsend(q.fd(), "y", 1, 0, &deadline), SyscallFailsWithErrno(ETIMEDOUT)) << "it is past";
  deadline.tv_nsec = 1000000000;
  EXPECT_THAT(mq_timedsend(q.fd(), "y", 1, 0, &deadline), SyscallFailsWithErrno(EINVAL));
}

TEST(Mqueue, ReceiverWaitsForAMessage) {
  Queue q;
  ScopedChild child([&]() -> int { return q.Receive() == "hello" ? 0 : 1; });
  usleep(20000);
  q.Send("hello");
  EXPECT_THAT(child.Wait(), ExitedWith(0));
}

TEST(Mqueue, SenderWaitsForRoom) {
  Queue q(1, 8);
  q.Send("1");
  ScopedChild child([&]() -> int { return q.Send("2"); });
  usleep(20000);
  EXPECT_EQ(q.Receive(), "1");
  EXPECT_THAT(child.Wait(), ExitedWith(0));
  EXPECT_EQ(q.Receive(), "2");
}

TEST(Mqueue, HandlerInterruptsTheWait) {
  Queue q;
  SignalCounter counter(SIGUSR1);
  Nudger nudger(SIGUSR1);
  char buf[64];
  EXPECT_THAT(mq_receive(q.fd(), buf, sizeof buf, nullptr), SyscallFailsWithErrno(EINTR));
}

TEST(Mqueue, PollShowsReadiness) {
  Queue q(1, 8);
  pollfd pfd = {q.fd(), POLLIN | POLLOUT, 0};
  EXPECT_THAT(poll(&pfd, 1, 0), SyscallSucceedsWithValue(1));
  EXPECT_EQ(pfd.revents, POLLOUT);
  q.Send("x");
  EXPECT_THAT(poll(&pfd, 1, 0), SyscallSucceedsWithValue(1));
  EXPECT_EQ(pfd.revents, POLLIN);
}

TEST(Mqueue, NotificationIsASignalOnce) {
  Queue q;
  ScopedSignalMask mask(SIG_BLOCK, {SIGUSR2});
  sigevent event = {};
  event.sigev_notify = SIGEV_SIGNAL;
  event.sigev_signo = SIGUSR2;
  event.sigev_value.sival_int = 31;
  ASSERT_THAT(mq_notify(q.fd(), &event), SyscallSucceeds());
  EXPECT_THAT(mq_notify(q.fd(), &event), SyscallFailsWithErrno(EBUSY));
  EXPECT_THAT(RunInChild([&] { q.Send("x"); }), ExitedWith(0));
  const sigset_t set = SignalSet({SIGUSR2});
  siginfo_t info = {};
  timespec timeout = {5, 0};
  ASSERT_THAT(sigtimedwait(&set, &info, &timeout), SyscallSucceedsWithValue(SIGUSR2));
  EXPECT_EQ(info.si_code, SI_MESGQ);
  EXPECT_EQ(info.si_value.sival_int, 31);
  EXPECT_NE(info.si_pid, getpid());
  EXPECT_EQ(info.si_uid, getuid());
  q.Receive();
  q.Send("y");
  timeout = {0, 20000000};
  EXPECT_THAT(sigtimedwait(&set, &info, &timeout), SyscallFailsWithErrno(EAGAIN)) << "used up";
  EXPECT_THAT(mq_notify(q.fd(), &event), SyscallSucceeds());
  EXPECT_THAT(mq_notify(q.fd(), nullptr), SyscallSucceeds());
  EXPECT_THAT(mq_notify(q.fd(), &event), SyscallSucceeds());
}

TEST(Mqueue, UnlinkedQueueLivesWhileOpen) {
  Queue q;
  q.Send("kept");
  ASSERT_THAT(mq_unlink(q.name()), SyscallSucceeds());
  EXPECT_THAT(mq_open(q.name(), O_RDWR), SyscallFailsWithErrno(ENOENT));
  EXPECT_EQ(q.Receive(), "kept");
}

TEST(Mqueue, ModeIsCheckedForOthers) {
  SKIP_IF_NOT_ROOT();
  Queue q;
  EXPECT_THAT(RunAsUser([&] {
                EXPECT_THAT(mq_open(q.name(), O_RDONLY), SyscallFailsWithErrno(EACCES));
                EXPECT_THAT(mq_unlink(q.name()), SyscallFailsWithErrno(EACCES));
              }),
              ExitedWith(0));
}

}  // namespace
}  // namespace moat::test
