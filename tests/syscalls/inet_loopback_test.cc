// TCP and UDP over the loopback interface: tcp(7), udp(7), ip(7). Skipped where there is none.
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/util/fd.h"
#include "tests/util/fork.h"
#include "tests/util/matchers.h"
#include "tests/util/memory.h"
#include "tests/util/signals.h"
#include "tests/util/thread.h"

namespace moat::test {
namespace {

sockaddr_in Loopback(uint16_t port) {
  sockaddr_in addr = {};
  addr.sin_family = AF_INET;
  addr.sin_port = htons(port);
  addr.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  return addr;
}
int Bind(int fd, uint16_t port) {
  const sockaddr_in addr = Loopback(port);
  return bind(fd, reinterpret_cast<const sockaddr*>(&addr), sizeof(addr));
}
int Connect(int fd, uint16_t port) {
  const sockaddr_in addr = Loopback(port);
  return connect(fd, reinterpret_cast<const sockaddr*>(&addr), sizeof(addr));
}
uint16_t LocalPort(int fd) {
  sockaddr_in addr = {};
  socklen_t len = sizeof(addr);
  EXPECT_THAT(getsockname(fd, reinterpret_cast<sockaddr*>(&addr), &len), SyscallSucceeds());
  return ntohs(addr.sin_port);
}
int GetOption(int fd, int level, int option) {
  int value = -1;
  socklen_t len = sizeof(value);
  EXPECT_THAT(getsockopt(fd, level, option, &value, &len), SyscallSucceeds());
  return value;
}
short Revents(int fd, short events, int timeout_ms = 0) {
  pollfd pfd = {fd, events, 0};
  EXPECT_THAT(poll(&pfd, 1, timeout_ms), SyscallSucceeds());
  return pfd.revents;
}
constexpr int kLongMs = 10000;  // for what must come

class Inet : public testing::Test {
 protected:
  void SetUp() override {
    FileDescriptor probe(socket(AF_INET, SOCK_STREAM, 0));
    if (!probe.valid() || Bind(probe.get(), 0) != 0) GTEST_SKIP() << "no IPv4 loopback here";
  }
};

class Tcp : public Inet {
 protected:
  void SetUp() override {
    Inet::SetUp();
    if (IsSkipped()) return;
    listener_.Reset(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    ASSERT_THAT(Bind(listener_.get(), 0), SyscallSucceeds());
    ASSERT_THAT(listen(listener_.get(), 5), SyscallSucceeds());
    port_ = LocalPort(listener_.get());
  }
  // A connected client and the accepted server side.
  void Establish() {
    client_.Reset(socket(AF_INET, SOCK_STREAM, 0));
    ASSERT_THAT(Connect(client_.get(), port_), SyscallSucceeds());
    server_.Reset(accept(listener_.get(), nullptr, nullptr));
    ASSERT_TRUE(server_.valid());
  }
  FileDescriptor listener_, client_, server_;
  uint16_t port_ = 0;
};

TEST_F(Tcp, CarriesBytesBothWays) {
  Establish();
  EXPECT_TRUE(WriteAll(client_.get(), "ping"));
  EXPECT_EQ(ReadAll(server_.get(), 4), "ping");
  EXPECT_TRUE(WriteAll(server_.get(), "pong"));
  EXPECT_EQ(ReadAll(client_.get(), 4), "pong");
}

TEST_F(Tcp, NamesAgreeOnBothSides) {
  Establish();
  sockaddr_in peer = {};
  socklen_t len = sizeof(peer);
  ASSERT_THAT(getpeername(server_.get(), reinterpret_cast<sockaddr*>(&peer), &len), SyscallSucceeds());
  EXPECT_EQ(len, sizeof(peer));
  EXPECT_EQ(ntohs(peer.sin_port), LocalPort(client_.get()));
  EXPECT_EQ(peer.sin_addr.s_addr, htonl(INADDR_LOOPBACK));
  EXPECT_EQ(LocalPort(server_.get()), port_);
}

TEST_F(Tcp, ShutdownIsEofForThePeerOnly) {
  Establish();
  ASSERT_THAT(shutdown(client_.get(), SHUT_WR), SyscallSucceeds());
  EXPECT_EQ(ReadAll(server_.get()), "");
  EXPECT_TRUE(WriteAll(server_.get(), "still"));
  EXPECT_EQ(ReadAll(client_.get(), 5), "still");
  EXPECT_THAT(send(client_.get(), "x", 1, MSG_NOSIGNAL), SyscallFailsWithErrno(EPIPE));
}

TEST_F(Tcp, LargeTransfersArriveWhole) {
  Establish();
  std::string data(3 << 20, '\0');
  for (size_t i = 0; i < data.size(); ++i) data[i] = static_cast<char>(i * 2654435761u >> 13);
  ScopedThread sender([&] {
    WriteAll(client_.get(), data);
    shutdown(client_.get(), SHUT_WR);
  });
  EXPECT_TRUE(ReadAll(server_.get()) == data);
}

TEST_F(Tcp, ConnectingToAClosedPortIsRefused) {
  listener_.Reset();
  FileDescriptor fd(socket(AF_INET, SOCK_STREAM, 0));
  EXPECT_THAT(Connect(fd.get(), port_), SyscallFailsWithErrno(ECONNREFUSED));
}

TEST_F(Tcp, NonblockingConnectReportsThroughPollAndSoError) {
  FileDescriptor good(socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0));
  if (Connect(good.get(), port_) != 0) {
    EXPECT_EQ(errno, EINPROGRESS);
    EXPECT_EQ(Revents(good.get(), POLLOUT, kLongMs), POLLOUT);
    EXPECT_EQ(GetOption(good.get(), SOL_SOCKET, SO_ERROR), 0);
    EXPECT_THAT(Connect(good.get(), port_), SyscallSucceeds());  // says so once
  }
  EXPECT_THAT(Connect(good.get(), port_), SyscallFailsWithErrno(EISCONN));
  listener_.Reset();
  FileDescriptor bad(socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0));
  if (Connect(bad.get(), port_) != 0 && errno == EINPROGRESS) {
    EXPECT_NE(Revents(bad.get(), POLLOUT, kLongMs) & POLLERR, 0);
    EXPECT_EQ(GetOption(bad.get(), SOL_SOCKET, SO_ERROR), ECONNREFUSED);
    EXPECT_EQ(GetOption(bad.get(), SOL_SOCKET, SO_ERROR), 0);  // reading it clears it
  }
}

TEST_F(Tcp, ReadinessFollowsTheConnection) {
  EXPECT_EQ(Revents(listener_.get(), POLLIN), 0);
  FileDescriptor idle(socket(AF_INET, SOCK_STREAM, 0));
  EXPECT_EQ(Revents(idle.get(), POLLIN | POLLOUT), POLLOUT | POLLHUP);
  client_.Reset(socket(AF_INET, SOCK_STREAM, 0));
  ASSERT_THAT(Connect(client_.get(), port_), SyscallSucceeds());
  EXPECT_EQ(Revents(listener_.get(), POLLIN, kLongMs), POLLIN);
  server_.Reset(accept(listener_.get(), nullptr, nullptr));
  EXPECT_EQ(Revents(client_.get(), POLLIN | POLLOUT), POLLOUT);
  EXPECT_TRUE(WriteAll(server_.get(), "x"));
  EXPECT_EQ(Revents(client_.get(), POLLIN, kLongMs), POLLIN);
  int n = 0;
  ASSERT_THAT(ioctl(client_.get(), FIONREAD, &n), SyscallSucceeds());
  EXPECT_EQ(n, 1);
}

TEST_F(Tcp, AbortiveCloseResetsThePeer) {
  Establish();
  const linger abort = {1, 0};
  ASSERT_THAT(setsockopt(client_.get(), SOL_SOCKET, SO_LINGER, &abort, sizeof(abort)), SyscallSucceeds());
  client_.Reset();
  Revents(server_.get(), POLLIN, kLongMs);
  char c;
  EXPECT_THAT(recv(server_.get(), &c, 1, 0), SyscallFailsWithErrno(ECONNRESET));
  EXPECT_THAT(recv(server_.get(), &c, 1, 0), SyscallSucceedsWithValue(0));
}

TEST_F(Tcp, PortInUseIsRefusedAndReuseaddrDoesNotStealAListener) {
  FileDescriptor fd(socket(AF_INET, SOCK_STREAM, 0));
  EXPECT_THAT(Bind(fd.get(), port_), SyscallFailsWithErrno(EADDRINUSE));
  const int on = 1;
  ASSERT_THAT(setsockopt(fd.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)), SyscallSucceeds());
  EXPECT_THAT(Bind(fd.get(), port_), SyscallFailsWithErrno(EADDRINUSE));
}

TEST_F(Tcp, ReuseaddrAllowsRebindingAfterConnections) {
  const int on = 1;
  ASSERT_THAT(setsockopt(listener_.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)), SyscallSucceeds());
  Establish();
  // The server closes first, so it is its side that lingers in TIME_WAIT.
  server_.Reset();
  EXPECT_EQ(ReadAll(client_.get()), "");
  client_.Reset();
  listener_.Reset();
  FileDescriptor fd(socket(AF_INET, SOCK_STREAM, 0));
  ASSERT_THAT(setsockopt(fd.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)), SyscallSucceeds());
  EXPECT_THAT(Bind(fd.get(), port_), SyscallSucceeds());
}

TEST_F(Tcp, OptionsAreRemembered) {
  Establish();
  const int on = 1;
  EXPECT_EQ(GetOption(client_.get(), IPPROTO_TCP, TCP_NODELAY), 0);
  ASSERT_THAT(setsockopt(client_.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)), SyscallSucceeds());
  EXPECT_EQ(GetOption(client_.get(), IPPROTO_TCP, TCP_NODELAY), 1);
  ASSERT_THAT(setsockopt(client_.get(), SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on)), SyscallSucceeds());
  EXPECT_EQ(GetOption(client_.get(), SOL_SOCKET, SO_KEEPALIVE), 1);
  EXPECT_EQ(GetOption(client_.get(), SOL_SOCKET, SO_TYPE), SOCK_STREAM);
  EXPECT_EQ(GetOption(client_.get(), SOL_SOCKET, SO_PROTOCOL), IPPROTO_TCP);
  EXPECT_EQ(GetOption(listener_.get(), SOL_SOCKET, SO_ACCEPTCONN), 1);
  tcp_info info = {};
  socklen_t len = sizeof(info);
  ASSERT_THAT(getsockopt(client_.get(), IPPROTO_TCP, TCP_INFO, &info, &len), SyscallSucceeds());
  EXPECT_EQ(info.tcpi_state, TCP_ESTABLISHED);
  EXPECT_THAT(setsockopt(client_.get(), IPPROTO_TCP, 9999, &on, sizeof(on)),
              SyscallFailsWithErrno(ENOPROTOOPT));
  EXPECT_THAT(setsockopt(client_.get(), IPPROTO_TCP, TCP_NODELAY, &on, 1), SyscallFailsWithErrno(EINVAL));
}

TEST_F(Tcp, CallsInTheWrongState) {
  FileDescriptor fd(socket(AF_INET, SOCK_STREAM, 0));
  char c = 'x';
  EXPECT_THAT(send(fd.get(), &c, 1, MSG_NOSIGNAL), SyscallFailsWithErrno(EPIPE));
  EXPECT_THAT(recv(fd.get(), &c, 1, 0), SyscallFailsWithErrno(ENOTCONN));
  EXPECT_THAT(accept(fd.get(), nullptr, nullptr), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(shutdown(fd.get(), SHUT_WR), SyscallFailsWithErrno(ENOTCONN));
  sockaddr_in addr = {};
  socklen_t len = sizeof(addr);
  EXPECT_THAT(getpeername(fd.get(), reinterpret_cast<sockaddr*>(&addr), &len),
              SyscallFailsWithErrno(ENOTCONN));
  addr = Loopback(port_);
  EXPECT_THAT(connect(fd.get(), reinterpret_cast<sockaddr*>(&addr), 4), SyscallFailsWithErrno(EINVAL));
  addr.sin_family = 99;
  EXPECT_THAT(connect(fd.get(), reinterpret_cast<sockaddr*>(&addr), sizeof(addr)),
              SyscallFailsWithErrno(EAFNOSUPPORT));
}

TEST_F(Tcp, PeekAndOutOfBandMark) {
  Establish();
  EXPECT_TRUE(WriteAll(client_.get(), "data"));
  char buf[8];
  Revents(server_.get(), POLLIN, kLongMs);
  EXPECT_THAT(recv(server_.get(), buf, 8, MSG_PEEK), SyscallSucceedsWithValue(4));
  EXPECT_EQ(ReadAll(server_.get(), 4), "data");
  EXPECT_THAT(send(client_.get(), "!", 1, MSG_OOB), SyscallSucceedsWithValue(1));
  EXPECT_EQ(Revents(server_.get(), POLLPRI, kLongMs), POLLPRI);
  EXPECT_THAT(recv(server_.get(), buf, 1, MSG_OOB), SyscallSucceedsWithValue(1));
  EXPECT_EQ(buf[0], '!');
}

class Udp : public Inet {
 protected:
  void SetUp() override {
    Inet::SetUp();
    if (IsSkipped()) return;
    for (FileDescriptor* fd : {&a_, &b_}) {
      fd->Reset(socket(AF_INET, SOCK_DGRAM, 0));
      ASSERT_THAT(Bind(fd->get(), 0), SyscallSucceeds());
    }
  }
  ssize_t SendTo(int fd, uint16_t port, std::string_view data) {
    const sockaddr_in addr = Loopback(port);
    return sendto(fd, data.data(), data.size(), 0, reinterpret_cast<const sockaddr*>(&addr), sizeof(addr));
  }
  // One datagram, waiting for it.
  std::string Receive(int fd, uint16_t* from = nullptr) {
    EXPECT_EQ(Revents(fd, POLLIN, kLongMs), POLLIN);
    char buf[256];
    sockaddr_in addr = {};
    socklen_t len = sizeof(addr);
    const ssize_t n = recvfrom(fd, buf, sizeof(buf), 0, reinterpret_cast<sockaddr*>(&addr), &len);
    EXPECT_THAT(n, SyscallSucceeds());
    if (from) *from = ntohs(addr.sin_port);
    return n < 0 ? "" : std::string(buf, static_cast<size_t>(n));
  }
  FileDescriptor a_, b_;
};

TEST_F(Udp, DatagramsKeepTheirBoundariesAndSender) {
  EXPECT_THAT(SendTo(a_.get(), LocalPort(b_.get()), "one"), SyscallSucceedsWithValue(3));
  EXPECT_THAT(SendTo(a_.get(), LocalPort(b_.get()), ""), SyscallSucceedsWithValue(0));
  EXPECT_THAT(SendTo(a_.get(), LocalPort(b_.get()), "three"), SyscallSucceedsWithValue(5));
  uint16_t from = 0;
  EXPECT_EQ(Receive(b_.get(), &from), "one");
  EXPECT_EQ(from, LocalPort(a_.get()));
  EXPECT_EQ(Receive(b_.get()), "");
  EXPECT_EQ(Receive(b_.get()), "three");
}

TEST_F(Udp, ConnectedSocketsHearOnlyTheirPeer) {
  ASSERT_THAT(Connect(a_.get(), LocalPort(b_.get())), SyscallSucceeds());
  FileDescriptor stranger(socket(AF_INET, SOCK_DGRAM, 0));
  EXPECT_THAT(SendTo(stranger.get(), LocalPort(a_.get()), "no"), SyscallSucceedsWithValue(2));
  EXPECT_THAT(SendTo(b_.get(), LocalPort(a_.get()), "yes"), SyscallSucceedsWithValue(3));
  EXPECT_EQ(Receive(a_.get()), "yes");
  EXPECT_TRUE(WriteAll(a_.get(), "back"));
  EXPECT_EQ(Receive(b_.get()), "back");
}

TEST_F(Udp, ClosedPortsAreReportedToConnectedSenders) {
  const uint16_t port = LocalPort(b_.get());
  ASSERT_THAT(Connect(a_.get(), port), SyscallSucceeds());
  b_.Reset();
  EXPECT_THAT(send(a_.get(), "x", 1, 0), SyscallSucceedsWithValue(1));
  Revents(a_.get(), POLLIN, kLongMs);
  char c;
  EXPECT_THAT(recv(a_.get(), &c, 1, MSG_DONTWAIT), SyscallFailsWithErrno(ECONNREFUSED));
  EXPECT_THAT(recv(a_.get(), &c, 1, MSG_DONTWAIT), SyscallFailsWithErrno(EAGAIN));
}

TEST_F(Udp, TruncationIsReported) {
  EXPECT_THAT(SendTo(a_.get(), LocalPort(b_.get()), "0123456789"), SyscallSucceedsWithValue(10));
  EXPECT_EQ(Revents(b_.get(), POLLIN, kLongMs), POLLIN);
  char buf[4];
  EXPECT_THAT(recv(b_.get(), buf, 4, MSG_TRUNC), SyscallSucceedsWithValue(10));
  EXPECT_THAT(recv(b_.get(), buf, 4, MSG_DONTWAIT), SyscallFailsWithErrno(EAGAIN));
}

TEST_F(Udp, SizeAndAddressErrors) {
  const std::string huge(70000, 'x');
  EXPECT_THAT(SendTo(a_.get(), LocalPort(b_.get()), huge), SyscallFailsWithErrno(EMSGSIZE));
  EXPECT_THAT(send(a_.get(), "x", 1, 0), SyscallFailsWithErrno(EDESTADDRREQ));
  EXPECT_THAT(SendTo(a_.get(), 0, "x"), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(Bind(a_.get(), 0), SyscallFailsWithErrno(EINVAL));
  FileDescriptor c(socket(AF_INET, SOCK_DGRAM, 0));
  EXPECT_THAT(Bind(c.get(), LocalPort(a_.get())), SyscallFailsWithErrno(EADDRINUSE));
  EXPECT_THAT(listen(a_.get(), 1), SyscallFailsWithErrno(EOPNOTSUPP));
}

TEST_F(Udp, PrivilegedPortsNeedPrivilege) {
  SKIP_IF_NOT_ROOT();
  FILE* limit = fopen("/proc/sys/net/ipv4/ip_unprivileged_port_start", "r");
  int first = 1024;
  if (limit) {
    (void)!fscanf(limit, "%d", &first);
    fclose(limit);
  }
  if (first < 1000) GTEST_SKIP() << "every port is free here";
  EXPECT_THAT(RunAsUser([] {
                FileDescriptor fd(socket(AF_INET, SOCK_DGRAM, 0));
                EXPECT_THAT(Bind(fd.get(), 999), SyscallFailsWithErrno(EACCES));
              }),
              ExitedWith(0));
}

TEST_F(Udp, MulticastAndBroadcastNeedPermission) {
  sockaddr_in everyone = Loopback(9);
  everyone.sin_addr.s_addr = htonl(INADDR_BROADCAST);
  EXPECT_THAT(sendto(a_.get(), "x", 1, 0, reinterpret_cast<sockaddr*>(&everyone), sizeof(everyone)),
              SyscallFailsWithErrno(testing::AnyOf(EACCES, ENETUNREACH)));
  EXPECT_EQ(GetOption(a_.get(), SOL_SOCKET, SO_BROADCAST), 0);
}

}  // namespace
}  // namespace moat::test
