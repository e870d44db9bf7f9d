// AF_UNIX SOCK_STREAM and SOCK_SEQPACKET sockets (unix(7)).
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stddef.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
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

// A socket address and its length; a name that starts with '\0' is abstract.
struct Address {
  explicit Address(const std::string& name) {
    addr.sun_family = AF_UNIX;
    memcpy(addr.sun_path, name.data(), name.size());
    len = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + name.size() + (name[0] ? 1 : 0));
  }
  const sockaddr* get() const { return reinterpret_cast<const sockaddr*>(&addr); }
  sockaddr_un addr = {};
  socklen_t len;
};

FileDescriptor Socket(int type) {
  FileDescriptor fd(socket(AF_UNIX, type | SOCK_CLOEXEC, 0));
  EXPECT_TRUE(fd.valid());
  return fd;
}
FileDescriptor Listener(const std::string& name, int type = SOCK_STREAM, int backlog = 5) {
  FileDescriptor fd = Socket(type);
  const Address address(name);
  EXPECT_THAT(bind(fd.get(), address.get(), address.len), SyscallSucceeds());
  EXPECT_THAT(listen(fd.get(), backlog), SyscallSucceeds());
  return fd;
}
int Connect(const FileDescriptor& fd, const std::string& name) {
  const Address address(name);
  return connect(fd.get(), address.get(), address.len);
}
struct Pair {
  explicit Pair(int type = SOCK_STREAM) {
    int fds[2] = {-1, -1};
    EXPECT_THAT(socketpair(AF_UNIX, type, 0, fds), SyscallSucceeds());
    a.Reset(fds[0]);
    b.Reset(fds[1]);
  }
  FileDescriptor a, b;
};

TEST(UnixStream, SocketpairCarriesBytesBothWays) {
  Pair pair;
  EXPECT_TRUE(WriteAll(pair.a.get(), "to b"));
  EXPECT_TRUE(WriteAll(pair.b.get(), "to a"));
  EXPECT_EQ(ReadAll(pair.b.get(), 4), "to b");
  EXPECT_EQ(ReadAll(pair.a.get(), 4), "to a");
}

TEST(UnixStream, IgnoresMessageBoundaries) {
  Pair pair;
  EXPECT_TRUE(WriteAll(pair.a.get(), "one"));
  EXPECT_TRUE(WriteAll(pair.a.get(), "two"));
  char buf[16];
  EXPECT_THAT(recv(pair.b.get(), buf, 4, 0), SyscallSucceedsWithValue(4));
  EXPECT_THAT(recv(pair.b.get(), buf, sizeof(buf), 0), SyscallSucceedsWithValue(2));
}

TEST(UnixStream, ClosedPeerIsEofAndThenEpipe) {
  SignalCounter sigpipe(SIGPIPE);
  Pair pair;
  EXPECT_TRUE(WriteAll(pair.a.get(), "x"));
  pair.a.Reset();
  EXPECT_EQ(ReadAll(pair.b.get()), "x");
  EXPECT_THAT(send(pair.b.get(), "y", 1, MSG_NOSIGNAL), SyscallFailsWithErrno(EPIPE));
  EXPECT_EQ(sigpipe.count(), 0);
  EXPECT_THAT(write(pair.b.get(), "y", 1), SyscallFailsWithErrno(EPIPE));
  EXPECT_EQ(sigpipe.count(), 1);
}

TEST(UnixStream, PeerThatClosesWithUnreadDataResets) {
  Pair pair;
  EXPECT_TRUE(WriteAll(pair.a.get(), "unread"));
  pair.b.Reset();
  char c;
  EXPECT_THAT(recv(pair.a.get(), &c, 1, 0), SyscallFailsWithErrno(ECONNRESET));
  EXPECT_THAT(recv(pair.a.get(), &c, 1, 0), SyscallSucceedsWithValue(0));
}

TEST(UnixStream, ConnectAndAcceptByPath) {
  TempDir dir;
  FileDescriptor listener = Listener(dir.Path("sock"));
  struct stat st;
  ASSERT_THAT(stat(dir.Path("sock").c_str(), &st), SyscallSucceeds());
  EXPECT_TRUE(S_ISSOCK(st.st_mode));
  FileDescriptor client = Socket(SOCK_STREAM);
  ASSERT_THAT(Connect(client, dir.Path("sock")), SyscallSucceeds());
  // Data may be sent before the other side accepts.
  EXPECT_TRUE(WriteAll(client.get(), "early"));
  sockaddr_un peer;
  socklen_t len = sizeof(peer);
  FileDescriptor server(accept4(listener.get(), reinterpret_cast<sockaddr*>(&peer), &len, SOCK_CLOEXEC));
  ASSERT_TRUE(server.valid());
  EXPECT_EQ(len, sizeof(sa_family_t));  // the client has no name
  EXPECT_THAT(fcntl(server.get(), F_GETFD), SyscallSucceedsWithValue(FD_CLOEXEC));
  EXPECT_EQ(ReadAll(server.get(), 5), "early");
}

TEST(UnixStream, NamesOfBothEnds) {
  TempDir dir;
  const std::string path = dir.Path("sock");
  FileDescriptor listener = Listener(path);
  FileDescriptor client = Socket(SOCK_STREAM);
  ASSERT_THAT(Connect(client, path), SyscallSucceeds());
  FileDescriptor server(accept(listener.get(), nullptr, nullptr));
  sockaddr_un name = {};
  socklen_t len = sizeof(name);
  ASSERT_THAT(getpeername(client.get(), reinterpret_cast<sockaddr*>(&name), &len), SyscallSucceeds());
  EXPECT_EQ(len, Address(path).len);
  EXPECT_EQ(std::string(name.sun_path), path);
  len = sizeof(name);
  ASSERT_THAT(getsockname(server.get(), reinterpret_cast<sockaddr*>(&name), &len), SyscallSucceeds());
  EXPECT_EQ(std::string(name.sun_path), path);
  // A short buffer gets the beginning, and the whole length.
  len = 4;
  ASSERT_THAT(getsockname(server.get(), reinterpret_cast<sockaddr*>(&name), &len), SyscallSucceeds());
  EXPECT_EQ(len, Address(path).len);
  len = sizeof(name);
  EXPECT_THAT(getpeername(listener.get(), reinterpret_cast<sockaddr*>(&name), &len),
              SyscallFailsWithErrno(ENOTCONN));
}

TEST(UnixStream, AbstractNamesNeedNoFile) {
  const std::string name = std::string("\0moat-abstract-", 15) + std::to_string(getpid());
  FileDescriptor listener = Listener(name);
  FileDescriptor client = Socket(SOCK_STREAM);
  EXPECT_THAT(Connect(client, name), SyscallSucceeds());
  FileDescriptor other = Socket(SOCK_STREAM);
  const Address address(name);
  EXPECT_THAT(bind(other.get(), address.get(), address.len), SyscallFailsWithErrno(EADDRINUSE));
  // Length counts: a longer name with the same beginning is another one.
  EXPECT_THAT(Connect(other, name + std::string(1, '\0')), SyscallFailsWithErrno(ECONNREFUSED));
  client.Reset();
  listener.Reset();
  EXPECT_THAT(bind(other.get(), address.get(), address.len), SyscallSucceeds());
}

TEST(UnixStream, AutobindChoosesAnAbstractName) {
  FileDescriptor fd = Socket(SOCK_STREAM);
  sockaddr_un name = {};
  name.sun_family = AF_UNIX;
  ASSERT_THAT(bind(fd.get(), reinterpret_cast<sockaddr*>(&name), sizeof(sa_family_t)), SyscallSucceeds());
  socklen_t len = sizeof(name);
  ASSERT_THAT(getsockname(fd.get(), reinterpret_cast<sockaddr*>(&name), &len), SyscallSucceeds());
  EXPECT_EQ(len, sizeof(sa_family_t) + 6);
  EXPECT_EQ(name.sun_path[0], '\0');
}

TEST(UnixStream, BindErrors) {
  TempDir dir;
  const std::string file = dir.CreateFile("file");
  FileDescriptor fd = Socket(SOCK_STREAM);
  const Address taken(file), missing(dir.Path("none/sock"));
  EXPECT_THAT(bind(fd.get(), taken.get(), taken.len), SyscallFailsWithErrno(EADDRINUSE));
  EXPECT_THAT(bind(fd.get(), missing.get(), missing.len), SyscallFailsWithErrno(ENOENT));
  EXPECT_THAT(bind(fd.get(), taken.get(), sizeof(sockaddr_un) + 1), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(bind(fd.get(), BadPointer<sockaddr>(), 10), SyscallFailsWithErrno(EFAULT));
  const Address good(dir.Path("sock"));
  ASSERT_THAT(bind(fd.get(), good.get(), good.len), SyscallSucceeds());
  const Address second(dir.Path("sock2"));
  EXPECT_THAT(bind(fd.get(), second.get(), second.len), SyscallFailsWithErrno(EINVAL));
}

TEST(UnixStream, ConnectErrors) {
  TempDir dir;
  FileDescriptor fd = Socket(SOCK_STREAM);
  EXPECT_THAT(Connect(fd, dir.Path("none")), SyscallFailsWithErrno(ENOENT));
  EXPECT_THAT(Connect(fd, dir.CreateFile("file")), SyscallFailsWithErrno(ECONNREFUSED));
  FileDescriptor bound = Socket(SOCK_STREAM);
  const Address address(dir.Path("bound"));
  ASSERT_THAT(bind(bound.get(), address.get(), address.len), SyscallSucceeds());
  EXPECT_THAT(Connect(fd, dir.Path("bound")), SyscallFailsWithErrno(ECONNREFUSED));
  FileDescriptor dgram = Socket(SOCK_DGRAM);
  FileDescriptor listener = Listener(dir.Path("listener"));
  EXPECT_THAT(Connect(dgram, dir.Path("listener")), SyscallFailsWithErrno(EPROTOTYPE));
  ASSERT_THAT(Connect(fd, dir.Path("listener")), SyscallSucceeds());
  EXPECT_THAT(Connect(fd, dir.Path("listener")), SyscallFailsWithErrno(EISCONN));
  // The name stays when the listener goes, but nobody answers.
  listener.Reset();
  FileDescriptor late = Socket(SOCK_STREAM);
  EXPECT_THAT(Connect(late, dir.Path("listener")), SyscallFailsWithErrno(ECONNREFUSED));
}

TEST(UnixStream, ConnectNeedsWritePermissionOnTheSocketFile) {
  SKIP_IF_NOT_ROOT();
  TempDir dir(0755);
  const std::string path = dir.Path("sock");
  FileDescriptor listener = Listener(path);
  ASSERT_THAT(chmod(path.c_str(), 0755), SyscallSucceeds());
  EXPECT_THAT(RunAsUser([&] {
                FileDescriptor fd = Socket(SOCK_STREAM);
                EXPECT_THAT(Connect(fd, path), SyscallFailsWithErrno(EACCES));
              }),
              ExitedWith(0));
}

TEST(UnixStream, FullBacklogRefusesNonblockingClients) {
  TempDir dir;
  FileDescriptor listener = Listener(dir.Path("sock"), SOCK_STREAM, 1);
  std::vector<FileDescriptor> clients;
  int error = 0;
  for (int i = 0; i < 10 && !error; ++i) {
    clients.push_back(Socket(SOCK_STREAM | SOCK_NONBLOCK));
    if (Connect(clients.back(), dir.Path("sock")) != 0) error = errno;
  }
  EXPECT_EQ(error, EAGAIN);
  EXPECT_EQ(clients.size(), 3u);  // a backlog of n holds n + 1
}

TEST(UnixStream, AcceptOnANonblockingIdleListener) {
  TempDir dir;
  FileDescriptor listener = Listener(dir.Path("sock"), SOCK_STREAM | SOCK_NONBLOCK);
  EXPECT_THAT(accept(listener.get(), nullptr, nullptr), SyscallFailsWithErrno(EAGAIN));
  pollfd pfd = {listener.get(), POLLIN, 0};
  EXPECT_THAT(poll(&pfd, 1, 0), SyscallSucceedsWithValue(0));
  FileDescriptor client = Socket(SOCK_STREAM);
  ASSERT_THAT(Connect(client, dir.Path("sock")), SyscallSucceeds());
  EXPECT_THAT(poll(&pfd, 1, 0), SyscallSucceedsWithValue(1));
}

TEST(UnixStream, BlockedAcceptWakes) {
  TempDir dir;
  FileDescriptor listener = Listener(dir.Path("sock"));
  std::string got;
  ScopedThread server([&] {
    FileDescriptor fd(accept(listener.get(), nullptr, nullptr));
    got = ReadAll(fd.get());
  });
  server.WaitUntilAsleep();
  FileDescriptor client = Socket(SOCK_STREAM);
  ASSERT_THAT(Connect(client, dir.Path("sock")), SyscallSucceeds());
  EXPECT_TRUE(WriteAll(client.get(), "hello"));
  client.Reset();
  server.Join();
  EXPECT_EQ(got, "hello");
}

TEST(UnixStream, CallsInTheWrongState) {
  FileDescriptor fd = Socket(SOCK_STREAM);
  char c = 'x';
  EXPECT_THAT(send(fd.get(), &c, 1, MSG_NOSIGNAL), SyscallFailsWithErrno(ENOTCONN));
  EXPECT_THAT(recv(fd.get(), &c, 1, 0), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(accept(fd.get(), nullptr, nullptr), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(listen(fd.get(), 1), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(shutdown(fd.get(), SHUT_RDWR), SyscallSucceeds());
  Pipe pipe;
  EXPECT_THAT(listen(pipe.reader.get(), 1), SyscallFailsWithErrno(ENOTSOCK));
  EXPECT_THAT(send(pipe.writer.get(), &c, 1, 0), SyscallFailsWithErrno(ENOTSOCK));
  EXPECT_THAT(accept(-1, nullptr, nullptr), SyscallFailsWithErrno(EBADF));
}

TEST(UnixStream, ShutdownOfOneDirection) {
  Pair pair;
  ASSERT_THAT(shutdown(pair.a.get(), SHUT_WR), SyscallSucceeds());
  EXPECT_EQ(ReadAll(pair.b.get()), "");
  EXPECT_THAT(send(pair.a.get(), "x", 1, MSG_NOSIGNAL), SyscallFailsWithErrno(EPIPE));
  EXPECT_TRUE(WriteAll(pair.b.get(), "back"));
  EXPECT_EQ(ReadAll(pair.a.get(), 4), "back");
  ASSERT_THAT(shutdown(pair.a.get(), SHUT_RD), SyscallSucceeds());
  EXPECT_THAT(send(pair.b.get(), "x", 1, MSG_NOSIGNAL), SyscallFailsWithErrno(EPIPE));
  EXPECT_THAT(shutdown(pair.a.get(), 5), SyscallFailsWithErrno(EINVAL));
}

TEST(UnixStream, PeekLeavesTheData) {
  Pair pair;
  EXPECT_TRUE(WriteAll(pair.a.get(), "data"));
  char buf[8];
  EXPECT_THAT(recv(pair.b.get(), buf, 8, MSG_PEEK), SyscallSucceedsWithValue(4));
  EXPECT_THAT(recv(pair.b.get(), buf, 2, MSG_PEEK), SyscallSucceedsWithValue(2));
  EXPECT_EQ(ReadAll(pair.b.get(), 4), "data");
}

TEST(UnixStream, DontwaitAndWaitall) {
  Pair pair;
  char buf[8];
  EXPECT_THAT(recv(pair.b.get(), buf, 8, MSG_DONTWAIT), SyscallFailsWithErrno(EAGAIN));
  EXPECT_TRUE(WriteAll(pair.a.get(), "1234"));
  ScopedThread reader(
      [&] { EXPECT_THAT(recv(pair.b.get(), buf, 8, MSG_WAITALL), SyscallSucceedsWithValue(8)); });
  reader.WaitUntilAsleep();
  EXPECT_TRUE(WriteAll(pair.a.get(), "5678"));
  reader.Join();
  EXPECT_EQ(std::string(buf, 8), "12345678");
}

TEST(UnixStream, NonblockingSendFillsUp) {
  Pair pair(SOCK_STREAM | SOCK_NONBLOCK);
  const std::string chunk(4096, 'x');
  size_t total = 0;
  ssize_t n;
  while ((n = send(pair.a.get(), chunk.data(), chunk.size(), 0)) > 0) total += static_cast<size_t>(n);
  EXPECT_EQ(errno, EAGAIN);
  EXPECT_GT(total, chunk.size());
  int queued = 0;
  ASSERT_THAT(ioctl(pair.b.get(), FIONREAD, &queued), SyscallSucceeds());
  EXPECT_EQ(static_cast<size_t>(queued), total);
}

TEST(UnixStream, ReceiveTimeoutIsEagain) {
  Pair pair;
  const timeval timeout = {0, 20000};
  ASSERT_THAT(setsockopt(pair.a.get(), SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof(timeout)),
              SyscallSucceeds());
  const long start = MonotonicNs();
  char c;
  EXPECT_THAT(recv(pair.a.get(), &c, 1, 0), SyscallFailsWithErrno(EAGAIN));
  EXPECT_GE(MonotonicNs() - start, 20000000);
}

TEST(UnixStream, OptionsDescribeTheSocket) {
  TempDir dir;
  FileDescriptor listener = Listener(dir.Path("sock"));
  const auto get = [&](int option) {
    int value = -1;
    socklen_t len = sizeof(value);
    EXPECT_THAT(getsockopt(listener.get(), SOL_SOCKET, option, &value, &len), SyscallSucceeds());
    EXPECT_EQ(len, sizeof(value));
    return value;
  };
  EXPECT_EQ(get(SO_TYPE), SOCK_STREAM);
  EXPECT_EQ(get(SO_DOMAIN), AF_UNIX);
  EXPECT_EQ(get(SO_PROTOCOL), 0);
  EXPECT_EQ(get(SO_ACCEPTCONN), 1);
  EXPECT_EQ(get(SO_ERROR), 0);
  EXPECT_GT(get(SO_SNDBUF), 0);
  int value;
  socklen_t len = sizeof(value);
  EXPECT_THAT(getsockopt(listener.get(), SOL_SOCKET, 9999, &value, &len), SyscallFailsWithErrno(ENOPROTOOPT));
  EXPECT_THAT(getsockopt(listener.get(), 9999, SO_TYPE, &value, &len), SyscallFailsWithErrno(EOPNOTSUPP));
}

TEST(UnixStream, PeercredNamesTheProcessThatConnected) {
  Pair pair;
  ucred cred = {};
  socklen_t len = sizeof(cred);
  ASSERT_THAT(getsockopt(pair.a.get(), SOL_SOCKET, SO_PEERCRED, &cred, &len), SyscallSucceeds());
  EXPECT_EQ(cred.pid, getpid());
  EXPECT_EQ(cred.uid, geteuid());
  EXPECT_EQ(cred.gid, getegid());
}

TEST(UnixStream, SocketArgumentsAreChecked) {
  EXPECT_THAT(socket(9999, SOCK_STREAM, 0), SyscallFailsWithErrno(EAFNOSUPPORT));
  EXPECT_THAT(socket(AF_UNIX, 99, 0), SyscallFailsWithErrno(testing::AnyOf(EINVAL, ESOCKTNOSUPPORT)));
  EXPECT_THAT(socket(AF_UNIX, SOCK_STREAM | 0x10000, 0), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(socket(AF_UNIX, SOCK_STREAM, 77), SyscallFailsWithErrno(EPROTONOSUPPORT));
  EXPECT_THAT(socketpair(AF_UNIX, SOCK_STREAM, 0, BadPointer<int>()), SyscallFailsWithErrno(EFAULT));
}

TEST(UnixSeqpacket, KeepsBoundariesAndIsConnected) {
  Pair pair(SOCK_SEQPACKET);
  EXPECT_THAT(send(pair.a.get(), "one", 3, 0), SyscallSucceedsWithValue(3));
  EXPECT_THAT(send(pair.a.get(), "second", 6, 0), SyscallSucceedsWithValue(6));
  char buf[16];
  EXPECT_THAT(recv(pair.b.get(), buf, sizeof(buf), 0), SyscallSucceedsWithValue(3));
  iovec iov = {buf, 2};
  msghdr msg = {};
  msg.msg_iov = &iov;
  msg.msg_iovlen = 1;
  EXPECT_THAT(recvmsg(pair.b.get(), &msg, 0), SyscallSucceedsWithValue(2));
  EXPECT_EQ(msg.msg_flags & (MSG_TRUNC | MSG_EOR), MSG_TRUNC);
  pair.a.Reset();
  EXPECT_THAT(recv(pair.b.get(), buf, sizeof(buf), 0), SyscallSucceedsWithValue(0));
}

}  // namespace
}  // namespace moat::test
