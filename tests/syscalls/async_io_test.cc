// Signal-driven I/O: F_SETOWN, F_SETOWN_EX, F_SETSIG, O_ASYNC and FIOASYNC (fcntl(2)), SIGIO and SIGURG.
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <termios.h>
#include <unistd.h>

#include <climits>
#include <string>
#include <vector>

#include "tests/util/fd.h"
#include "tests/util/fork.h"
#include "tests/util/matchers.h"
#include "tests/util/signals.h"
#include "tests/util/temp_path.h"
#include "tests/util/thread.h"

namespace moat::test {
namespace {

using testing::AllOf;
using testing::Contains;
using testing::Each;
using testing::ElementsAre;
using testing::IsEmpty;
using testing::Not;

constexpr long kInBand = POLLIN | POLLRDNORM;
constexpr long kOutBand = POLLOUT | POLLWRNORM | POLLWRBAND;

// Blocks a real-time signal and hands out what came of it.
class Events {
 public:
  Events() : mask_(SIG_BLOCK, {SIGRTMIN, SIGIO, SIGURG}) {}
  ~Events() { DrainSignals({SIGRTMIN, SIGIO, SIGURG}); }
  // Every instance that waits, oldest first.
  std::vector<siginfo_t> Take(int sig = SIGRTMIN) {
    const sigset_t set = SignalSet({sig});
    const timespec zero = {};
    std::vector<siginfo_t> out;
    for (siginfo_t info; sigtimedwait(&set, &info, &zero) > 0;) out.push_back(info);
    return out;
  }
  // Their si_code.
  std::vector<int> Codes(int sig = SIGRTMIN) {
    std::vector<int> out;
    for (const siginfo_t& info : Take(sig)) out.push_back(info.si_code);
    return out;
  }

 private:
  ScopedSignalMask mask_;
};

// Signals of `fd` come to this process, as SIGRTMIN.
void Watch(int fd) {
  ASSERT_THAT(fcntl(fd, F_SETOWN, getpid()), SyscallSucceeds());
  ASSERT_THAT(fcntl(fd, F_SETSIG, SIGRTMIN), SyscallSucceeds());
  ASSERT_THAT(fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_ASYNC), SyscallSucceeds());
}

struct SocketPair {
  explicit SocketPair(int type = SOCK_STREAM) {
    int fds[2] = {-1, -1};
    EXPECT_THAT(socketpair(AF_UNIX, type, 0, fds), SyscallSucceeds());
    a.Reset(fds[0]);
    b.Reset(fds[1]);
  }
  FileDescriptor a, b;
};

struct TcpListenerAndAddress {
  TcpListenerAndAddress() : fd(socket(AF_INET, SOCK_STREAM, 0)) {
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    EXPECT_THAT(bind(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof address), SyscallSucceeds());
    EXPECT_THAT(listen(fd.get(), 5), SyscallSucceeds());
    socklen_t length = sizeof address;
    EXPECT_THAT(getsockname(fd.get(), reinterpret_cast<sockaddr*>(&address), &length), SyscallSucceeds());
  }
  int Connect(int client) { return connect(client, reinterpret_cast<sockaddr*>(&address), sizeof address); }
  FileDescriptor fd;
  sockaddr_in address = {};
};

struct TcpPair {
  TcpPair() : a(socket(AF_INET, SOCK_STREAM, 0)) {
    EXPECT_THAT(listener.Connect(a.get()), SyscallSucceeds());
    b.Reset(accept(listener.fd.get(), nullptr, nullptr));
    EXPECT_THAT(b.get(), SyscallSucceeds());
  }
  TcpListenerAndAddress listener;
  FileDescriptor a, b;
};

// --- Kinds of files. ---

TEST(AsyncIo, ReaderOfAPipeHearsOfEveryWrite) {
  Events events;
  Pipe pipe;
  Watch(pipe.reader.get());
  EXPECT_TRUE(WriteAll(pipe.writer.get(), "x"));
  EXPECT_TRUE(WriteAll(pipe.writer.get(), "y"));
  const std::vector<siginfo_t> got = events.Take();
  ASSERT_EQ(got.size(), 2u);
  for (const siginfo_t& info : got) {
    EXPECT_EQ(info.si_code, POLL_IN);
    EXPECT_EQ(info.si_band, kInBand);
    EXPECT_EQ(info.si_fd, pipe.reader.get());
    EXPECT_EQ(info.si_errno, 0);
  }
}

TEST(AsyncIo, WriterOfAPipeHearsOfReads) {
  Events events;
  Pipe pipe;
  Watch(pipe.writer.get());
  EXPECT_TRUE(WriteAll(pipe.writer.get(), "xy"));
  EXPECT_THAT(events.Take(), IsEmpty());
  ReadAll(pipe.reader.get(), 1);
  const std::vector<siginfo_t> got = events.Take();
  ASSERT_EQ(got.size(), 1u);
  EXPECT_EQ(got[0].si_code, POLL_OUT);
  EXPECT_EQ(got[0].si_band, kOutBand);
}

TEST(AsyncIo, EndsOfAPipeHearOfTheOthersClose) {
  Events events;
  Pipe first;
  Watch(first.reader.get());
  first.writer.Reset();
  EXPECT_THAT(events.Codes(), ElementsAre(POLL_IN));
  Pipe second;
  Watch(second.writer.get());
  second.reader.Reset();
  EXPECT_THAT(events.Codes(), ElementsAre(POLL_OUT));
}

TEST(AsyncIo, FifosAreAsPipes) {
  Events events;
  TempDir dir;
  const std::string path = dir.Path("fifo");
  ASSERT_THAT(mkfifo(path.c_str(), 0600), SyscallSucceeds());
  FileDescriptor both = Open(path, O_RDWR);
  Watch(both.get());
  EXPECT_TRUE(WriteAll(both.get(), "x"));
  EXPECT_THAT(events.Codes(), ElementsAre(POLL_IN));
  ReadAll(both.get(), 1);
  EXPECT_THAT(events.Codes(), ElementsAre(POLL_OUT));
}

TEST(AsyncIo, UnixStreamHearsOfDataAndItsPeersEnd) {
  Events events;
  SocketPair pair;
  Watch(pair.a.get());
  EXPECT_TRUE(WriteAll(pair.b.get(), "x"));
  const std::vector<siginfo_t> got = events.Take();
  ASSERT_EQ(got.size(), 1u);
  EXPECT_EQ(got[0].si_code, POLL_IN);
  EXPECT_EQ(got[0].si_band, kInBand);
  ASSERT_THAT(shutdown(pair.b.get(), SHUT_WR), SyscallSucceeds());
  EXPECT_THAT(events.Codes(), ElementsAre(POLL_IN));
  pair.b.Reset();
  EXPECT_THAT(events.Codes(), ElementsAre(POLL_HUP));
}

TEST(AsyncIo, UnixStreamHearsOfRoomOnlyAfterItWasMissed) {
  Events events;
  SocketPair pair;
  ASSERT_THAT(fcntl(pair.a.get(), F_SETFL, O_NONBLOCK), SyscallSucceeds());
  Watch(pair.a.get());
  EXPECT_TRUE(WriteAll(pair.a.get(), "x"));
  ReadAll(pair.b.get(), 1);
  EXPECT_THAT(events.Take(), IsEmpty());
  const std::string block(4096, 'x');
  size_t sent = 0;
  for (ssize_t n; (n = write(pair.a.get(), block.data(), block.size())) > 0;) sent += static_cast<size_t>(n);
  EXPECT_THAT(events.Take(), IsEmpty());
  ReadAll(pair.b.get(), sent);
  const std::vector<siginfo_t> got = events.Take();
  ASSERT_EQ(got.size(), 1u);
  EXPECT_EQ(got[0].si_code, POLL_OUT);
  EXPECT_EQ(got[0].si_band, kOutBand);
}

TEST(AsyncIo, UnixDatagramsAreData) {
  Events events;
  SocketPair pair(SOCK_DGRAM);
  Watch(pair.a.get());
  EXPECT_THAT(send(pair.b.get(), "x", 1, 0), SyscallSucceeds());
  EXPECT_THAT(send(pair.b.get(), "", 0, 0), SyscallSucceeds());
  EXPECT_THAT(events.Codes(), ElementsAre(POLL_IN, POLL_IN));
}

TEST(AsyncIo, UnixListenerHearsOfConnections) {
  Events events;
  TempDir dir;
  sockaddr_un name = {AF_UNIX, {}};
  strcpy(name.sun_path, dir.Path("s").c_str());
  FileDescriptor listener(socket(AF_UNIX, SOCK_STREAM, 0)), client(socket(AF_UNIX, SOCK_STREAM, 0));
  ASSERT_THAT(bind(listener.get(), reinterpret_cast<sockaddr*>(&name), sizeof name), SyscallSucceeds());
  ASSERT_THAT(listen(listener.get(), 3), SyscallSucceeds());
  Watch(listener.get());
  ASSERT_THAT(connect(client.get(), reinterpret_cast<sockaddr*>(&name), sizeof name), SyscallSucceeds());
  EXPECT_THAT(events.Codes(), ElementsAre(POLL_IN));
}

TEST(AsyncIo, TcpHearsOfConnectionsDataAndTheEnd) {
  Events events;
  TcpListenerAndAddress listener;
  FileDescriptor client(socket(AF_INET, SOCK_STREAM, 0));
  Watch(client.get());
  ASSERT_THAT(listener.Connect(client.get()), SyscallSucceeds());
  EXPECT_THAT(events.Codes(), ElementsAre(POLL_OUT));
  FileDescriptor server(accept(listener.fd.get(), nullptr, nullptr));
  EXPECT_TRUE(WriteAll(server.get(), "x"));
  EXPECT_THAT(events.Codes(), ElementsAre(POLL_IN));
  EXPECT_EQ(ReadAll(client.get(), 1), "x");
  ASSERT_THAT(shutdown(server.get(), SHUT_WR), SyscallSucceeds());
  EXPECT_THAT(events.Codes(), AllOf(Not(IsEmpty()), Each(POLL_IN)));  // Linux: twice
}

TEST(AsyncIo, TcpHearsOfTheEndAfterItsOwnAsAHangup) {
  Events events;
  TcpPair pair;
  Watch(pair.a.get());
  ASSERT_THAT(shutdown(pair.a.get(), SHUT_WR), SyscallSucceeds());
  EXPECT_THAT(events.Take(), IsEmpty());
  ASSERT_THAT(shutdown(pair.b.get(), SHUT_WR), SyscallSucceeds());
  EXPECT_THAT(events.Codes(), Contains(POLL_HUP));
}

TEST(AsyncIo, TcpListenerHearsOfConnections) {
  Events events;
  TcpListenerAndAddress listener;
  Watch(listener.fd.get());
  FileDescriptor client(socket(AF_INET, SOCK_STREAM, 0));
  ASSERT_THAT(listener.Connect(client.get()), SyscallSucceeds());
  EXPECT_THAT(events.Codes(), ElementsAre(POLL_IN));
}

TEST(AsyncIo, ResetOfTcpIsAnError) {
  Events events;
  TcpPair pair;
  Watch(pair.a.get());
  const linger abort = {1, 0};
  ASSERT_THAT(setsockopt(pair.b.get(), SOL_SOCKET, SO_LINGER, &abort, sizeof abort), SyscallSucceeds());
  pair.b.Reset();
  EXPECT_THAT(events.Codes(), ElementsAre(POLL_ERR));
}

TEST(AsyncIo, UdpHearsOfDatagrams) {
  Events events;
  FileDescriptor a(socket(AF_INET, SOCK_DGRAM, 0)), b(socket(AF_INET, SOCK_DGRAM, 0));
  sockaddr_in address = {};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  ASSERT_THAT(bind(a.get(), reinterpret_cast<sockaddr*>(&address), sizeof address), SyscallSucceeds());
  socklen_t length = sizeof address;
  ASSERT_THAT(getsockname(a.get(), reinterpret_cast<sockaddr*>(&address), &length), SyscallSucceeds());
  Watch(a.get());
  EXPECT_THAT(sendto(b.get(), "x", 1, 0, reinterpret_cast<sockaddr*>(&address), length), SyscallSucceeds());
  EXPECT_THAT(events.Codes(), ElementsAre(POLL_IN));
}

TEST(AsyncIo, InotifyHearsOfEvents) {
  Events events;
  TempDir dir;
  FileDescriptor notify(inotify_init1(0));
  ASSERT_THAT(inotify_add_watch(notify.get(), dir.path().c_str(), IN_CREATE), SyscallSucceeds());
  Watch(notify.get());
  dir.CreateFile("new");
  EXPECT_THAT(events.Codes(), ElementsAre(POLL_IN));
}

struct Pty {
  Pty() : master(posix_openpt(O_RDWR | O_NOCTTY)) {
    EXPECT_THAT(grantpt(master.get()), SyscallSucceeds());
    EXPECT_THAT(unlockpt(master.get()), SyscallSucceeds());
    char name[64];
    EXPECT_EQ(ptsname_r(master.get(), name, sizeof name), 0);
    slave = Open(name, O_RDWR | O_NOCTTY);
    termios raw;
    EXPECT_THAT(tcgetattr(slave.get(), &raw), SyscallSucceeds());
    cfmakeraw(&raw);
    EXPECT_THAT(tcsetattr(slave.get(), TCSANOW, &raw), SyscallSucceeds());
  }
  FileDescriptor master, slave;
};

// What is written to a pty arrives by way of a work queue.
bool WaitFor(int sig, siginfo_t* info) {
  const sigset_t set = SignalSet({sig});
  const timespec limit = {5, 0};
  return sigtimedwait(&set, info, &limit) == sig;
}

TEST(AsyncIo, BothEndsOfAPtyHearOfInput) {
  Events events;
  Pty pty;
  siginfo_t info;
  Watch(pty.slave.get());
  EXPECT_TRUE(WriteAll(pty.master.get(), "x"));
  ASSERT_TRUE(WaitFor(SIGRTMIN, &info));
  EXPECT_EQ(info.si_code, POLL_IN);
  EXPECT_EQ(info.si_fd, pty.slave.get());
  ASSERT_THAT(fcntl(pty.slave.get(), F_SETFL, 0), SyscallSucceeds());
  Watch(pty.master.get());
  EXPECT_TRUE(WriteAll(pty.slave.get(), "y"));
  ASSERT_TRUE(WaitFor(SIGRTMIN, &info));
  EXPECT_EQ(info.si_code, POLL_IN);
  EXPECT_EQ(info.si_fd, pty.master.get());
}

TEST(AsyncIo, TerminalsBelongToWhoFirstAsks) {
  Events events;
  Pty pty;
  EXPECT_THAT(fcntl(pty.slave.get(), F_GETOWN), SyscallSucceedsWithValue(0));
  ASSERT_THAT(fcntl(pty.slave.get(), F_SETFL, O_ASYNC), SyscallSucceeds());
  EXPECT_THAT(fcntl(pty.slave.get(), F_GETOWN), SyscallSucceedsWithValue(getpid()));
  SocketPair pair;
  ASSERT_THAT(fcntl(pair.a.get(), F_SETFL, O_ASYNC), SyscallSucceeds());
  EXPECT_THAT(fcntl(pair.a.get(), F_GETOWN), SyscallSucceedsWithValue(0));
}

TEST(AsyncIo, FilesWithoutEventsIgnoreTheFlagAndRefuseTheIoctl) {
  TempFile file;
  FileDescriptor regular = file.Open(), event(eventfd(0, 0));
  for (int fd : {regular.get(), event.get()}) {
    int on = 1;
    EXPECT_THAT(ioctl(fd, FIOASYNC, &on), SyscallFailsWithErrno(ENOTTY));
    EXPECT_EQ(fcntl(fd, F_GETFL) & O_ASYNC, 0);
    EXPECT_THAT(fcntl(fd, F_SETFL, O_ASYNC), SyscallSucceeds());
    EXPECT_EQ(fcntl(fd, F_GETFL) & O_ASYNC, 0);
    on = 0;
    EXPECT_THAT(ioctl(fd, FIOASYNC, &on), SyscallSucceeds());  // no change
  }
  Events events;
  Watch(event.get());
  EXPECT_THAT(eventfd_write(event.get(), 1), SyscallSucceeds());
  EXPECT_THAT(events.Take(), IsEmpty());
}

// --- Switching it on and off. ---

TEST(AsyncIo, IoctlAndFlagAreOneSwitch) {
  Events events;
  Pipe pipe;
  Watch(pipe.reader.get());
  int off = 0, on = 1;
  ASSERT_THAT(ioctl(pipe.reader.get(), FIOASYNC, &off), SyscallSucceeds());
  EXPECT_EQ(fcntl(pipe.reader.get(), F_GETFL) & O_ASYNC, 0);
  EXPECT_TRUE(WriteAll(pipe.writer.get(), "x"));
  EXPECT_THAT(events.Take(), IsEmpty());
  ASSERT_THAT(ioctl(pipe.reader.get(), FIOASYNC, &on), SyscallSucceeds());
  EXPECT_EQ(fcntl(pipe.reader.get(), F_GETFL) & O_ASYNC, O_ASYNC);
  EXPECT_TRUE(WriteAll(pipe.writer.get(), "x"));
  EXPECT_THAT(events.Codes(), ElementsAre(POLL_IN));
  ASSERT_THAT(fcntl(pipe.reader.get(), F_SETFL, 0), SyscallSucceeds());
  EXPECT_TRUE(WriteAll(pipe.writer.get(), "x"));
  EXPECT_THAT(events.Take(), IsEmpty());
}

TEST(AsyncIo, FlagOfOpenDoesNotSwitchItOn) {
  Events events;
  TempDir dir;
  const std::string path = dir.Path("fifo");
  ASSERT_THAT(mkfifo(path.c_str(), 0600), SyscallSucceeds());
  FileDescriptor fd = Open(path, O_RDWR | O_ASYNC);
  Watch(fd.get());  // which sets a flag that is set
  EXPECT_TRUE(WriteAll(fd.get(), "x"));
  EXPECT_THAT(events.Take(), IsEmpty());
}

TEST(AsyncIo, DescriptorIsTheOneThatSwitchedItOn) {
  Events events;
  Pipe pipe;
  FileDescriptor copy(dup(pipe.reader.get()));
  Watch(copy.get());
  EXPECT_THAT(fcntl(pipe.reader.get(), F_GETOWN), SyscallSucceedsWithValue(getpid()));
  EXPECT_TRUE(WriteAll(pipe.writer.get(), "x"));
  const std::vector<siginfo_t> got = events.Take();
  ASSERT_EQ(got.size(), 1u);
  EXPECT_EQ(got[0].si_fd, copy.get());
}

TEST(AsyncIo, ItEndsWithTheOpenFile) {
  Events events;
  TempDir dir;
  const std::string path = dir.Path("fifo");
  ASSERT_THAT(mkfifo(path.c_str(), 0600), SyscallSucceeds());
  FileDescriptor other = Open(path, O_RDWR), fd = Open(path, O_RDWR);
  Watch(fd.get());
  fd.Reset();
  EXPECT_TRUE(WriteAll(other.get(), "x"));
  EXPECT_THAT(events.Take(), IsEmpty());
}

// --- Signals. ---

TEST(AsyncIo, PlainSigioSaysNothing) {
  Events events;
  Pipe pipe;
  ASSERT_THAT(fcntl(pipe.reader.get(), F_SETOWN, getpid()), SyscallSucceeds());
  ASSERT_THAT(fcntl(pipe.reader.get(), F_SETFL, O_ASYNC), SyscallSucceeds());
  EXPECT_TRUE(WriteAll(pipe.writer.get(), "x"));
  EXPECT_TRUE(WriteAll(pipe.writer.get(), "y"));
  EXPECT_THAT(events.Codes(SIGIO), ElementsAre(SI_KERNEL));
  ASSERT_THAT(fcntl(pipe.reader.get(), F_SETSIG, SIGIO), SyscallSucceeds());
  EXPECT_TRUE(WriteAll(pipe.writer.get(), "z"));
  const std::vector<siginfo_t> got = events.Take(SIGIO);
  ASSERT_EQ(got.size(), 1u);
  EXPECT_EQ(got[0].si_code, POLL_IN);
  EXPECT_EQ(got[0].si_fd, pipe.reader.get());
}

TEST(AsyncIo, SignalsWithCodesOfTheirOwnSaySigio) {
  ScopedSignalMask mask(SIG_BLOCK, {SIGCHLD});
  Pipe pipe;
  Watch(pipe.reader.get());
  ASSERT_THAT(fcntl(pipe.reader.get(), F_SETSIG, SIGCHLD), SyscallSucceeds());
  EXPECT_TRUE(WriteAll(pipe.writer.get(), "x"));
  siginfo_t info;
  ASSERT_TRUE(WaitFor(SIGCHLD, &info));
  EXPECT_EQ(info.si_code, SI_SIGIO);
}

TEST(AsyncIo, SignalfdShowsDescriptorAndBand) {
  Events events;
  const sigset_t set = SignalSet({SIGRTMIN});
  FileDescriptor signals(signalfd(-1, &set, SFD_NONBLOCK));
  Pipe pipe;
  Watch(pipe.reader.get());
  EXPECT_TRUE(WriteAll(pipe.writer.get(), "x"));
  signalfd_siginfo info;
  ASSERT_THAT(read(signals.get(), &info, sizeof info), SyscallSucceedsWithValue(static_cast<long>(sizeof info)));
  EXPECT_EQ(info.ssi_fd, pipe.reader.get());
  EXPECT_EQ(info.ssi_band, static_cast<uint32_t>(kInBand));
  EXPECT_EQ(info.ssi_code, POLL_IN);
}

TEST(AsyncIo, UrgentDataSignalsTheOwner) {
  Events events;
  TcpPair pair;
  EXPECT_THAT(send(pair.b.get(), "x", 1, MSG_OOB), SyscallSucceeds());
  EXPECT_THAT(events.Take(SIGURG), IsEmpty());
  ASSERT_THAT(fcntl(pair.a.get(), F_SETOWN, getpid()), SyscallSucceeds());
  EXPECT_THAT(send(pair.b.get(), "y", 1, MSG_OOB), SyscallSucceeds());
  EXPECT_THAT(events.Codes(SIGURG), ElementsAre(SI_KERNEL));
  EXPECT_THAT(events.Take(SIGIO), IsEmpty());
}

TEST(AsyncIo, UrgentDataIsAnEventToo) {
  Events events;
  TcpPair pair;
  Watch(pair.a.get());
  EXPECT_THAT(send(pair.b.get(), "x", 1, MSG_OOB), SyscallSucceeds());
  EXPECT_EQ(events.Take(SIGURG).size(), 1u);
  const std::vector<int> codes = events.Codes();
  ASSERT_GE(codes.size(), 2u);
  EXPECT_EQ(codes[0], POLL_PRI);
  EXPECT_EQ(codes[1], POLL_IN);
}

// --- Owners. ---

TEST(AsyncOwner, KindsAreShownAsTheyWereSet) {
  Pipe pipe;
  const int fd = pipe.reader.get();
  f_owner_ex owner = {F_OWNER_PID, 77};
  ASSERT_THAT(fcntl(fd, F_GETOWN_EX, &owner), SyscallSucceeds());
  EXPECT_EQ(owner.type, F_OWNER_TID);
  EXPECT_EQ(owner.pid, 0);
  if (getpgrp() == 0) setpgid(0, 0);  // one from outside our pid namespace has no number
  ASSERT_THAT(fcntl(fd, F_SETOWN, -getpgrp()), SyscallSucceeds());
  ASSERT_THAT(fcntl(fd, F_GETOWN_EX, &owner), SyscallSucceeds());
  EXPECT_EQ(owner.type, F_OWNER_PGRP);
  EXPECT_EQ(owner.pid, getpgrp());
  owner = {F_OWNER_TID, gettid()};
  ASSERT_THAT(fcntl(fd, F_SETOWN_EX, &owner), SyscallSucceeds());
  owner = {};
  ASSERT_THAT(fcntl(fd, F_GETOWN_EX, &owner), SyscallSucceeds());
  EXPECT_EQ(owner.type, F_OWNER_TID);
  EXPECT_EQ(owner.pid, gettid());
  ASSERT_THAT(fcntl(fd, F_SETOWN, 0), SyscallSucceeds());
  EXPECT_THAT(fcntl(fd, F_GETOWN), SyscallSucceedsWithValue(0));
  EXPECT_THAT(fcntl(fd, F_SETOWN, INT_MIN), SyscallFailsWithErrno(EINVAL));
}

TEST(AsyncOwner, SocketsHaveIoctlsForIt) {
  SocketPair pair;
  int pid = getpid(), seen = 0;
  ASSERT_THAT(ioctl(pair.a.get(), FIOSETOWN, &pid), SyscallSucceeds());
  EXPECT_THAT(ioctl(pair.a.get(), FIOGETOWN, &seen), SyscallSucceeds());
  EXPECT_EQ(seen, pid);
  int group = -getpgrp();
  ASSERT_THAT(ioctl(pair.a.get(), SIOCSPGRP, &group), SyscallSucceeds());
  EXPECT_THAT(ioctl(pair.a.get(), SIOCGPGRP, &seen), SyscallSucceeds());
  EXPECT_EQ(seen, group);
  int nobody = 0x3fffffff;
  EXPECT_THAT(ioctl(pair.a.get(), FIOSETOWN, &nobody), SyscallFailsWithErrno(ESRCH));
}

TEST(AsyncOwner, ProcessThatEndedIsNoOwner) {
  Pipe pipe;
  ScopedChild child([] { pause(); });
  const pid_t pid = child.pid();
  ASSERT_THAT(fcntl(pipe.reader.get(), F_SETOWN, pid), SyscallSucceeds());
  EXPECT_THAT(fcntl(pipe.reader.get(), F_GETOWN), SyscallSucceedsWithValue(pid));
  kill(pid, SIGKILL);
  child.Wait();
  EXPECT_THAT(fcntl(pipe.reader.get(), F_GETOWN), SyscallSucceedsWithValue(0));
  ASSERT_THAT(fcntl(pipe.reader.get(), F_SETFL, O_ASYNC), SyscallSucceeds());
  EXPECT_TRUE(WriteAll(pipe.writer.get(), "x"));
}

TEST(AsyncOwner, ThreadGetsItsOwnSignals) {
  Events events;
  Pipe pipe, done;
  ScopedThread thread([&] {
    f_owner_ex owner = {F_OWNER_TID, gettid()};
    EXPECT_THAT(fcntl(pipe.reader.get(), F_SETOWN_EX, &owner), SyscallSucceeds());
    EXPECT_THAT(fcntl(pipe.reader.get(), F_SETSIG, SIGRTMIN), SyscallSucceeds());
    EXPECT_THAT(fcntl(pipe.reader.get(), F_SETFL, O_ASYNC), SyscallSucceeds());
    EXPECT_TRUE(WriteAll(done.writer.get(), "x"));
    siginfo_t info;
    EXPECT_TRUE(WaitFor(SIGRTMIN, &info));
    EXPECT_EQ(info.si_code, POLL_IN);
  });
  ReadAll(done.reader.get(), 1);
  EXPECT_TRUE(WriteAll(pipe.writer.get(), "x"));
  EXPECT_THAT(events.Take(), IsEmpty());
  thread.Join();
}

TEST(AsyncOwner, GroupHearsAsAWhole) {
  EXPECT_THAT(RunInChild([] {
                ASSERT_THAT(setpgid(0, 0), SyscallSucceeds());
                Events events;
                Pipe pipe, ready, results;
                auto member = [&] {
                  EXPECT_TRUE(WriteAll(ready.writer.get(), "r"));
                  siginfo_t info;
                  EXPECT_TRUE(WaitFor(SIGRTMIN, &info));
                  EXPECT_EQ(info.si_code, POLL_IN);
                };
                ScopedChild first(member), second(member);
                ReadAll(ready.reader.get(), 2);
                Watch(pipe.reader.get());
                ASSERT_THAT(fcntl(pipe.reader.get(), F_SETOWN, -getpgrp()), SyscallSucceeds());
                EXPECT_TRUE(WriteAll(pipe.writer.get(), "x"));
                EXPECT_THAT(first.Wait(), ExitedWith(0));
                EXPECT_THAT(second.Wait(), ExitedWith(0));
                EXPECT_THAT(events.Codes(), ElementsAre(POLL_IN));
              }),
              ExitedWith(0));
}

// Whoever named the owner must have been allowed to signal it.
TEST(AsyncOwner, StrangersAreNotSignalled) {
  SKIP_IF_NOT_ROOT();
  Events events;
  Pipe pipe;
  EXPECT_THAT(RunAsUser([&] {
                ASSERT_THAT(fcntl(pipe.reader.get(), F_SETOWN, getppid()), SyscallSucceeds());
                ASSERT_THAT(fcntl(pipe.reader.get(), F_SETSIG, SIGRTMIN), SyscallSucceeds());
                ASSERT_THAT(fcntl(pipe.reader.get(), F_SETFL, O_ASYNC), SyscallSucceeds());
              }),
              ExitedWith(0));
  EXPECT_THAT(fcntl(pipe.reader.get(), F_GETOWN), SyscallSucceedsWithValue(getpid()));
  EXPECT_TRUE(WriteAll(pipe.writer.get(), "x"));
  EXPECT_THAT(events.Take(), IsEmpty());
  EXPECT_THAT(events.Take(SIGIO), IsEmpty());
  ASSERT_THAT(fcntl(pipe.reader.get(), F_SETOWN, getpid()), SyscallSucceeds());
  EXPECT_TRUE(WriteAll(pipe.writer.get(), "x"));
  EXPECT_THAT(events.Codes(), ElementsAre(POLL_IN));
}

}  // namespace
}  // namespace moat::test
