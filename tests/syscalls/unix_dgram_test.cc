// AF_UNIX SOCK_DGRAM sockets, and what control messages carry: descriptors and credentials (unix(7)).
#include <fcntl.h>
#include <poll.h>
#include <stddef.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "tests/util/fd.h"
#include "tests/util/fork.h"
#include "tests/util/matchers.h"
#include "tests/util/memory.h"
#include "tests/util/temp_path.h"

namespace moat::test {
namespace {

sockaddr_un Name(const std::string& path) {
  sockaddr_un addr = {};
  addr.sun_family = AF_UNIX;
  memcpy(addr.sun_path, path.data(), path.size());
  return addr;
}
FileDescriptor Bound(const std::string& path) {
  FileDescriptor fd(socket(AF_UNIX, SOCK_DGRAM, 0));
  const sockaddr_un addr = Name(path);
  EXPECT_THAT(bind(fd.get(), reinterpret_cast<const sockaddr*>(&addr), sizeof(addr)), SyscallSucceeds());
  return fd;
}
int Connect(const FileDescriptor& fd, const std::string& path) {
  const sockaddr_un addr = Name(path);
  return connect(fd.get(), reinterpret_cast<const sockaddr*>(&addr), sizeof(addr));
}
ssize_t SendTo(const FileDescriptor& fd, const std::string& path, std::string_view data) {
  const sockaddr_un addr = Name(path);
  return sendto(fd.get(), data.data(), data.size(), MSG_DONTWAIT, reinterpret_cast<const sockaddr*>(&addr),
                sizeof(addr));
}
struct Pair {
  explicit Pair(int type) {
    int fds[2] = {-1, -1};
    EXPECT_THAT(socketpair(AF_UNIX, type, 0, fds), SyscallSucceeds());
    a.Reset(fds[0]);
    b.Reset(fds[1]);
  }
  FileDescriptor a, b;
};

// One message with room for control data.
struct Message {
  explicit Message(size_t data_room = 64, size_t control_room = 512)
      : data(data_room), control(control_room) {
    iov = {data.data(), data.size()};
    header.msg_iov = &iov;
    header.msg_iovlen = 1;
    header.msg_control = control_room ? control.data() : nullptr;
    header.msg_controllen = control_room;
  }
  // The file descriptors it carries; the caller owns them.
  std::vector<FileDescriptor> Descriptors() {
    std::vector<FileDescriptor> out;
    for (cmsghdr* c = CMSG_FIRSTHDR(&header); c; c = CMSG_NXTHDR(&header, c)) {
      if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS) continue;
      for (size_t pos = 0; pos + CMSG_LEN(0) + sizeof(int) <= c->cmsg_len; pos += sizeof(int)) {
        int fd;
        memcpy(&fd, CMSG_DATA(c) + pos, sizeof(fd));
        out.emplace_back(fd);
      }
    }
    return out;
  }
  std::vector<char> data, control;
  iovec iov;
  msghdr header = {};
};

ssize_t SendDescriptors(int socket, const std::vector<int>& fds, std::string data = "x") {
  std::vector<char> control(CMSG_SPACE(fds.size() * sizeof(int)));
  iovec iov = {data.data(), data.size()};
  msghdr header = {};
  header.msg_iov = &iov;
  header.msg_iovlen = 1;
  header.msg_control = control.data();
  header.msg_controllen = control.size();
  cmsghdr* c = CMSG_FIRSTHDR(&header);
  c->cmsg_level = SOL_SOCKET;
  c->cmsg_type = SCM_RIGHTS;
  c->cmsg_len = CMSG_LEN(fds.size() * sizeof(int));
  memcpy(CMSG_DATA(c), fds.data(), fds.size() * sizeof(int));
  return sendmsg(socket, &header, MSG_NOSIGNAL);
}

TEST(UnixDgram, KeepsBoundariesAndEmptyMessages) {
  Pair pair(SOCK_DGRAM);
  EXPECT_THAT(send(pair.a.get(), "one", 3, 0), SyscallSucceedsWithValue(3));
  EXPECT_THAT(send(pair.a.get(), "", 0, 0), SyscallSucceedsWithValue(0));
  EXPECT_THAT(send(pair.a.get(), "three", 5, 0), SyscallSucceedsWithValue(5));
  char buf[16];
  EXPECT_THAT(recv(pair.b.get(), buf, sizeof(buf), 0), SyscallSucceedsWithValue(3));
  EXPECT_THAT(recv(pair.b.get(), buf, sizeof(buf), 0), SyscallSucceedsWithValue(0));
  EXPECT_THAT(recv(pair.b.get(), buf, sizeof(buf), 0), SyscallSucceedsWithValue(5));
  EXPECT_THAT(recv(pair.b.get(), buf, sizeof(buf), MSG_DONTWAIT), SyscallFailsWithErrno(EAGAIN));
}

TEST(UnixDgram, TruncationIsReportedAndLosesTheRest) {
  Pair pair(SOCK_DGRAM);
  EXPECT_THAT(send(pair.a.get(), "0123456789", 10, 0), SyscallSucceedsWithValue(10));
  char buf[4];
  EXPECT_THAT(recv(pair.b.get(), buf, 4, MSG_PEEK | MSG_TRUNC), SyscallSucceedsWithValue(10));
  Message message(4);
  EXPECT_THAT(recvmsg(pair.b.get(), &message.header, 0), SyscallSucceedsWithValue(4));
  EXPECT_EQ(message.header.msg_flags & MSG_TRUNC, MSG_TRUNC);
  EXPECT_THAT(recv(pair.b.get(), buf, 4, MSG_DONTWAIT), SyscallFailsWithErrno(EAGAIN));
}

TEST(UnixDgram, SendtoReachesABoundNameAndTellsTheSender) {
  TempDir dir;
  FileDescriptor a = Bound(dir.Path("a")), b = Bound(dir.Path("b"));
  EXPECT_THAT(SendTo(a, dir.Path("b"), "hello"), SyscallSucceedsWithValue(5));
  char buf[16];
  sockaddr_un from = {};
  socklen_t len = sizeof(from);
  EXPECT_THAT(recvfrom(b.get(), buf, sizeof(buf), 0, reinterpret_cast<sockaddr*>(&from), &len),
              SyscallSucceedsWithValue(5));
  EXPECT_EQ(std::string(from.sun_path), dir.Path("a"));
}

TEST(UnixDgram, ConnectFixesThePeer) {
  TempDir dir;
  FileDescriptor a = Bound(dir.Path("a")), b = Bound(dir.Path("b")), c = Bound(dir.Path("c"));
  ASSERT_THAT(Connect(a, dir.Path("b")), SyscallSucceeds());
  EXPECT_THAT(send(a.get(), "x", 1, 0), SyscallSucceedsWithValue(1));
  // Only its peer may send to a connected socket.
  EXPECT_THAT(SendTo(c, dir.Path("a"), "y"), SyscallFailsWithErrno(EPERM));
  EXPECT_THAT(SendTo(b, dir.Path("a"), "z"), SyscallSucceedsWithValue(1));
  // AF_UNSPEC dissolves it.
  sockaddr unspec = {};
  unspec.sa_family = AF_UNSPEC;
  ASSERT_THAT(connect(a.get(), &unspec, sizeof(unspec)), SyscallSucceeds());
  EXPECT_THAT(send(a.get(), "x", 1, 0), SyscallFailsWithErrno(ENOTCONN));
  EXPECT_THAT(SendTo(c, dir.Path("a"), "y"), SyscallSucceedsWithValue(1));
}

TEST(UnixDgram, DeadPeersRefuse) {
  TempDir dir;
  FileDescriptor a(socket(AF_UNIX, SOCK_DGRAM, 0)), b = Bound(dir.Path("b"));
  ASSERT_THAT(Connect(a, dir.Path("b")), SyscallSucceeds());
  b.Reset();
  EXPECT_THAT(send(a.get(), "x", 1, 0), SyscallFailsWithErrno(ECONNREFUSED));
  EXPECT_THAT(SendTo(a, dir.Path("b"), "x"), SyscallFailsWithErrno(ECONNREFUSED));
  EXPECT_THAT(SendTo(a, dir.Path("none"), "x"), SyscallFailsWithErrno(ENOENT));
}

TEST(UnixDgram, FullReceiverBlocksTheSender) {
  TempDir dir;
  FileDescriptor a(socket(AF_UNIX, SOCK_DGRAM, 0)), b = Bound(dir.Path("b"));
  int sent = 0;
  while (SendTo(a, dir.Path("b"), "x") == 1 && sent < 100000) ++sent;
  EXPECT_EQ(errno, EAGAIN);
  char buf[4];
  for (int i = 0; i < sent; ++i)
    ASSERT_THAT(recv(b.get(), buf, 4, MSG_DONTWAIT), SyscallSucceedsWithValue(1));
  EXPECT_THAT(SendTo(a, dir.Path("b"), "x"), SyscallSucceedsWithValue(1));
}

TEST(UnixDgram, MessagesLargerThanTheBufferAreRefused) {
  Pair pair(SOCK_DGRAM);
  int small = 4096;
  ASSERT_THAT(setsockopt(pair.a.get(), SOL_SOCKET, SO_SNDBUF, &small, sizeof(small)), SyscallSucceeds());
  const std::string big(100000, 'x');
  EXPECT_THAT(send(pair.a.get(), big.data(), big.size(), 0), SyscallFailsWithErrno(EMSGSIZE));
}

TEST(UnixDgram, ListenAndAcceptAreNotSupported) {
  TempDir dir;
  FileDescriptor a = Bound(dir.Path("a"));
  EXPECT_THAT(listen(a.get(), 1), SyscallFailsWithErrno(EOPNOTSUPP));
  EXPECT_THAT(accept(a.get(), nullptr, nullptr), SyscallFailsWithErrno(EOPNOTSUPP));
}

TEST(UnixDgram, SendmmsgAndRecvmmsgMoveSeveral) {
  Pair pair(SOCK_DGRAM);
  char a[] = "aa", b[] = "bbb";
  iovec out[2] = {{a, 2}, {b, 3}};
  mmsghdr send_hdr[2] = {};
  for (int i = 0; i < 2; ++i) {
    send_hdr[i].msg_hdr.msg_iov = &out[i];
    send_hdr[i].msg_hdr.msg_iovlen = 1;
  }
  EXPECT_THAT(sendmmsg(pair.a.get(), send_hdr, 2, 0), SyscallSucceedsWithValue(2));
  EXPECT_EQ(send_hdr[1].msg_len, 3u);
  char buf[3][8];
  iovec in[3];
  mmsghdr recv_hdr[3] = {};
  for (int i = 0; i < 3; ++i) {
    in[i] = {buf[i], 8};
    recv_hdr[i].msg_hdr.msg_iov = &in[i];
    recv_hdr[i].msg_hdr.msg_iovlen = 1;
  }
  EXPECT_THAT(recvmmsg(pair.b.get(), recv_hdr, 3, MSG_DONTWAIT, nullptr), SyscallSucceedsWithValue(2));
  EXPECT_EQ(recv_hdr[0].msg_len, 2u);
  EXPECT_EQ(recv_hdr[1].msg_len, 3u);
}

TEST(ScmRights, PassesTheOpenFileItself) {
  Pair pair(SOCK_STREAM);
  TempFile file("0123456789");
  FileDescriptor fd = file.Open();
  ReadAll(fd.get(), 3);
  ASSERT_THAT(SendDescriptors(pair.a.get(), {fd.get()}), SyscallSucceeds());
  fd.Reset();
  Message message;
  ASSERT_THAT(recvmsg(pair.b.get(), &message.header, MSG_CMSG_CLOEXEC), SyscallSucceedsWithValue(1));
  std::vector<FileDescriptor> got = message.Descriptors();
  ASSERT_EQ(got.size(), 1u);
  EXPECT_EQ(ReadAll(got[0].get(), 3), "345");
  EXPECT_THAT(fcntl(got[0].get(), F_GETFD), SyscallSucceedsWithValue(FD_CLOEXEC));
}

TEST(ScmRights, WorksAcrossProcesses) {
  Pair pair(SOCK_STREAM);
  EXPECT_THAT(RunInChild([&] {
                Pipe pipe;
                WriteAll(pipe.writer.get(), "from the child");
                EXPECT_THAT(SendDescriptors(pair.a.get(), {pipe.reader.get()}), SyscallSucceeds());
              }),
              ExitedWith(0));
  Message message;
  ASSERT_THAT(recvmsg(pair.b.get(), &message.header, 0), SyscallSucceedsWithValue(1));
  std::vector<FileDescriptor> got = message.Descriptors();
  ASSERT_EQ(got.size(), 1u);
  EXPECT_EQ(ReadAll(got[0].get()), "from the child");
}

TEST(ScmRights, StreamReadStopsAtTheDescriptorsByte) {
  Pair pair(SOCK_STREAM);
  FileDescriptor null = Open("/dev/null", O_RDONLY);
  EXPECT_TRUE(WriteAll(pair.a.get(), "before"));
  ASSERT_THAT(SendDescriptors(pair.a.get(), {null.get()}, "with"), SyscallSucceeds());
  EXPECT_TRUE(WriteAll(pair.a.get(), "after"));
  Message first, second;
  // Bytes without descriptors may come together with those that carry them, but never with later ones.
  EXPECT_THAT(recvmsg(pair.b.get(), &first.header, 0), SyscallSucceedsWithValue(10));
  EXPECT_EQ(first.Descriptors().size(), 1u);
  EXPECT_THAT(recvmsg(pair.b.get(), &second.header, 0), SyscallSucceedsWithValue(5));
  EXPECT_EQ(second.Descriptors().size(), 0u);
}

TEST(ScmRights, DescriptorsThatDoNotFitAreClosed) {
  Pair pair(SOCK_DGRAM);
  Pipe pipe;
  ASSERT_THAT(SendDescriptors(pair.a.get(), {pipe.writer.get(), pipe.writer.get(), pipe.writer.get()}),
              SyscallSucceeds());
  pipe.writer.Reset();
  {
    Message message(8, CMSG_SPACE(sizeof(int)));
    ASSERT_THAT(recvmsg(pair.b.get(), &message.header, 0), SyscallSucceedsWithValue(1));
    EXPECT_EQ(message.header.msg_flags & MSG_CTRUNC, MSG_CTRUNC);
    // The alignment of a control message leaves room for two.
    EXPECT_LE(message.Descriptors().size(), 2u);
  }
  EXPECT_EQ(ReadAll(pipe.reader.get()), "");
}

TEST(ScmRights, PlainReadDropsThem) {
  Pair pair(SOCK_STREAM);
  Pipe pipe;
  ASSERT_THAT(SendDescriptors(pair.a.get(), {pipe.writer.get()}), SyscallSucceeds());
  pipe.writer.Reset();
  EXPECT_EQ(ReadAll(pair.b.get(), 1), "x");
  EXPECT_EQ(ReadAll(pipe.reader.get()), "");
}

TEST(ScmRights, ClosingTheSocketReleasesWhatIsInFlight) {
  Pipe pipe;
  {
    Pair pair(SOCK_STREAM);
    ASSERT_THAT(SendDescriptors(pair.a.get(), {pipe.writer.get()}), SyscallSucceeds());
    pipe.writer.Reset();
    EXPECT_THAT(fcntl(pipe.reader.get(), F_SETFL, O_NONBLOCK), SyscallSucceeds());
    char c;
    EXPECT_THAT(read(pipe.reader.get(), &c, 1), SyscallFailsWithErrno(EAGAIN));
    EXPECT_THAT(fcntl(pipe.reader.get(), F_SETFL, 0), SyscallSucceeds());
  }
  EXPECT_EQ(ReadAll(pipe.reader.get()), "");
}

TEST(ScmRights, BadDescriptorsFailTheWholeMessage) {
  Pair pair(SOCK_STREAM);
  EXPECT_THAT(SendDescriptors(pair.a.get(), {0, -1}), SyscallFailsWithErrno(EBADF));
  EXPECT_THAT(SendDescriptors(pair.a.get(), std::vector<int>(254, pair.a.get())),
              SyscallFailsWithErrno(EINVAL));
  char c;
  EXPECT_THAT(recv(pair.b.get(), &c, 1, MSG_DONTWAIT), SyscallFailsWithErrno(EAGAIN));
}

TEST(ScmRights, SocketsCanTravelThroughThemselves) {
  Pair pair(SOCK_STREAM);
  ASSERT_THAT(SendDescriptors(pair.a.get(), {pair.b.get()}), SyscallSucceeds());
  Message message;
  ASSERT_THAT(recvmsg(pair.b.get(), &message.header, 0), SyscallSucceedsWithValue(1));
  std::vector<FileDescriptor> got = message.Descriptors();
  ASSERT_EQ(got.size(), 1u);
  EXPECT_TRUE(WriteAll(pair.a.get(), "y"));
  EXPECT_EQ(ReadAll(got[0].get(), 1), "y");
}

class Credentials : public testing::Test {
 protected:
  void PassOn(int fd) {
    const int on = 1;
    ASSERT_THAT(setsockopt(fd, SOL_SOCKET, SO_PASSCRED, &on, sizeof(on)), SyscallSucceeds());
  }
  // Receives one message and the credentials with it; pid 0 if there were none.
  ucred Receive(int fd) {
    Message message;
    EXPECT_THAT(recvmsg(fd, &message.header, 0), SyscallSucceeds());
    ucred cred = {};
    for (cmsghdr* c = CMSG_FIRSTHDR(&message.header); c; c = CMSG_NXTHDR(&message.header, c)) {
      if (c->cmsg_type == SCM_CREDENTIALS) memcpy(&cred, CMSG_DATA(c), sizeof(cred));
    }
    return cred;
  }
  ssize_t Send(int fd, ucred cred) {
    char data = 'x', control[CMSG_SPACE(sizeof(cred))] = {};
    iovec iov = {&data, 1};
    msghdr header = {};
    header.msg_iov = &iov;
    header.msg_iovlen = 1;
    header.msg_control = control;
    header.msg_controllen = sizeof(control);
    cmsghdr* c = CMSG_FIRSTHDR(&header);
    c->cmsg_level = SOL_SOCKET;
    c->cmsg_type = SCM_CREDENTIALS;
    c->cmsg_len = CMSG_LEN(sizeof(cred));
    memcpy(CMSG_DATA(c), &cred, sizeof(cred));
    return sendmsg(fd, &header, MSG_NOSIGNAL);
  }
  Pair pair_{SOCK_DGRAM};
};

TEST_F(Credentials, AreAddedWhenTheReceiverAsks) {
  EXPECT_TRUE(WriteAll(pair_.a.get(), "x"));
  EXPECT_EQ(Receive(pair_.b.get()).pid, 0);
  PassOn(pair_.b.get());
  pid_t child = -1;
  {
    ScopedChild sender([&] { WriteAll(pair_.a.get(), "x"); });
    child = sender.pid();
    const ucred cred = Receive(pair_.b.get());
    EXPECT_EQ(cred.pid, child);
    EXPECT_EQ(cred.uid, getuid());
    EXPECT_THAT(sender.Wait(), ExitedWith(0));
  }
}

TEST_F(Credentials, CannotBeForgedWithoutPrivilege) {
  SKIP_IF_NOT_ROOT();
  PassOn(pair_.b.get());
  EXPECT_THAT(RunAsUser([&] {
                EXPECT_THAT(Send(pair_.a.get(), {getpid(), 0, getgid()}), SyscallFailsWithErrno(EPERM));
                EXPECT_THAT(Send(pair_.a.get(), {1, getuid(), getgid()}), SyscallFailsWithErrno(EPERM));
                EXPECT_THAT(Send(pair_.a.get(), {getpid(), getuid(), getgid()}), SyscallSucceeds());
              }),
              ExitedWith(0));
  EXPECT_EQ(Receive(pair_.b.get()).uid, kOtherUid);
}

TEST_F(Credentials, RootMayNameOthers) {
  SKIP_IF_NOT_ROOT();
  PassOn(pair_.b.get());
  EXPECT_THAT(Send(pair_.a.get(), {getpid(), 1234, 4321}), SyscallSucceeds());
  const ucred cred = Receive(pair_.b.get());
  EXPECT_EQ(cred.uid, 1234u);
  EXPECT_EQ(cred.gid, 4321u);
}

}  // namespace
}  // namespace moat::test
