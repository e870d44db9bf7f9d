// Sockets: making, naming, connecting, options. Messages are in sys_sockmsg.cc.
#include <algorithm>

#include "abi/capability.h"
#include "abi/fcntl.h"
#include "abi/poll.h"
#include "abi/rlimit.h"
#include "abi/signal.h"
#include "fs/vfs/fd_table.h"
#include "sentry/kernel/fs_context.h"
#include "sentry/kernel/thread_group.h"
#include "sentry/net/inet/inet_socket.h"
#include "sentry/net/netlink/netlink_socket.h"
#include "sentry/net/unix/unix_socket.h"
#include "sentry/syscalls/families.h"
#include "sentry/syscalls/socket_io.h"
#include "sentry/syscalls/timeouts.h"

namespace moat {

uint32_t TaskSocketCaller::umask() const { return task_.fs().umask(); }
uint64_t TaskSocketCaller::descriptor_limit() const { return task_.group().Limit(abi::kRLIMIT_NOFILE); }

ErrorOr<Ref<Socket>> GetSocket(Task& t, int fd) {
  Ref<FileDescription> file = TRY(t.fds().Get(fd));
  Ref<Socket> socket = RefCast<Socket>(file);
  if (!socket) return kENOTSOCK;
  return socket;
}

ErrorOr<SocketAddress> ReadSocketAddress(Task& t, UserAddr addr, int length) {
  SocketAddress out;
  if (length < 0 || static_cast<size_t>(length) > out.bytes.size()) return kEINVAL;
  out.length = static_cast<uint32_t>(length);
  if (length) TRY(t.mm().CopyIn(addr, out.bytes.data(), out.length));
  return out;
}

ErrorOr<void> WriteSocketAddress(Task& t, const SocketAddress& address, UserAddr addr, UserAddr length_addr) {
  int room = TRY(t.mm().Read<int>(length_addr));
  if (room < 0) return kEINVAL;
  uint32_t n = std::min(static_cast<uint32_t>(room), address.length);
  if (n) TRY(t.mm().CopyOut(addr, address.bytes.data(), n));
  return t.mm().Write<uint32_t>(length_addr, address.length);
}

int64_t SocketDeadline(int64_t timeout_ns) { return timeout_ns == INT64_MAX ? kForever : DeadlineAfter(timeout_ns); }

Errno SocketWaitError(Errno error, int64_t timeout_ns) {
  if (error == kETIMEDOUT) return kEAGAIN;
  if (error == kERESTARTSYS && timeout_ns != INT64_MAX) return kEINTR;
  return error;
}

namespace {

constexpr uint32_t kCreateFlags = abi::kSOCK_CLOEXEC | abi::kSOCK_NONBLOCK;
constexpr int kMaxType = 11;  // SOCK_MAX

uint64_t FdLimit(Task& t) { return t.group().Limit(abi::kRLIMIT_NOFILE); }

abi::Ucred CallerOfReadAndWrite() {
  Task* t = Task::Current();
  if (!t) return {};
  return {t->tgid(), t->creds().uid, t->creds().gid};
}

ErrorOr<Ref<Socket>> MakeSocket(Task& t, int family, int type, int protocol, uint32_t flags) {
  SetSocketCallerSource(CallerOfReadAndWrite);
  if (family < 0 || family >= abi::kAF_MAX) return kEAFNOSUPPORT;
  if (type < 0 || type >= kMaxType) return kEINVAL;
  TaskSocketCaller caller(t);
  switch (family) {
    case abi::kAF_UNIX: return Ref<Socket>(TRY(UnixSocket::Create(caller, type, protocol, flags)));
    case abi::kAF_INET: case abi::kAF_INET6: return CreateInetSocket(caller, family, type, protocol, flags);
    case abi::kAF_NETLINK: return Ref<Socket>(TRY(NetlinkSocket::Create(caller, type, protocol, flags)));
    case abi::kAF_PACKET: return kEPERM;
    default: return kEAFNOSUPPORT;
  }
}

ErrorOr<uint64_t> SysSocket(Task& t, int family, uint32_t type_and_flags, int protocol) {
  uint32_t flags = type_and_flags & ~uint32_t{abi::kSOCK_TYPE_MASK};
  if (flags & ~kCreateFlags) return kEINVAL;
  int type = static_cast<int>(type_and_flags & abi::kSOCK_TYPE_MASK);
  Ref<Socket> socket = TRY(MakeSocket(t, family, type, protocol, flags));
  return TRY(t.fds().Install(std::move(socket), (flags & abi::kSOCK_CLOEXEC) != 0, FdLimit(t)));
}

ErrorOr<void> SysSocketpair(Task& t, int family, uint32_t type_and_flags, int protocol, UserAddr out) {
  uint32_t flags = type_and_flags & ~uint32_t{abi::kSOCK_TYPE_MASK};
  if (flags & ~kCreateFlags) return kEINVAL;
  int type = static_cast<int>(type_and_flags & abi::kSOCK_TYPE_MASK);
  if (family != abi::kAF_UNIX) {
    TRY(MakeSocket(t, family, type, protocol, flags));
    return kEOPNOTSUPP;
  }
  if (type >= kMaxType) return kEINVAL;
  SetSocketCallerSource(CallerOfReadAndWrite);
  TaskSocketCaller caller(t);
  UnixSocket::Ends ends = TRY(UnixSocket::CreatePair(caller, type, protocol, flags));
  bool cloexec = (flags & abi::kSOCK_CLOEXEC) != 0;
  int fds[2];
  fds[0] = TRY(t.fds().Install(ends.a, cloexec, FdLimit(t)));
  ErrorOr<int> second = t.fds().Install(ends.b, cloexec, FdLimit(t));
  if (!second.ok()) {
    t.fds().Remove(fds[0]);
    return second.error();
  }
  fds[1] = *second;
  ErrorOr<void> written = t.mm().CopyOut(out, fds, sizeof fds);
  if (!written.ok()) {
    for (int fd : fds) t.fds().Remove(fd);
  }
  return written;
}

ErrorOr<void> SysBind(Task& t, int fd, UserAddr addr, int length) {
  Ref<Socket> socket = TRY(GetSocket(t, fd));
  SocketAddress address = TRY(ReadSocketAddress(t, addr, length));
  return socket->Bind(TaskSocketCaller(t), address);
}

ErrorOr<void> SysListen(Task& t, int fd, int backlog) {
  Ref<Socket> socket = TRY(GetSocket(t, fd));
  return socket->Listen(TaskSocketCaller(t), backlog);
}

ErrorOr<uint64_t> SysAccept4(Task& t, int fd, UserAddr addr, UserAddr length_addr, uint32_t flags) {
  if (flags & ~kCreateFlags) return kEINVAL;
  Ref<Socket> listener = TRY(GetSocket(t, fd));
  // A connection is not taken for a descriptor that cannot be had.
  if (t.fds().count() >= FdLimit(t)) return kEMFILE;
  TaskSocketCaller caller(t);
  auto attempt = [&] { return listener->TryAccept(caller); };
  int64_t timeout = listener->receive_timeout_ns();
  ErrorOr<Ref<Socket>> accepted = listener->nonblocking() ? attempt()
                                                          : t.BlockOn(*listener->wait_queue(), abi::kPOLLIN | abi::kPOLLRDNORM,
                                                                      SocketDeadline(timeout), attempt);
  if (!accepted.ok()) return SocketWaitError(accepted.error(), timeout);
  Ref<Socket> socket = std::move(*accepted);
  if (flags & abi::kSOCK_NONBLOCK) TRY(socket->SetFlags(socket->flags() | abi::kO_NONBLOCK));
  if (addr) {
    ErrorOr<SocketAddress> peer = socket->PeerName();
    if (!peer.ok()) return kECONNABORTED;
    TRY(WriteSocketAddress(t, *peer, addr, length_addr));
  }
  return TRY(t.fds().Install(std::move(socket), (flags & abi::kSOCK_CLOEXEC) != 0, FdLimit(t)));
}
ErrorOr<uint64_t> SysAccept(Task& t, int fd, UserAddr addr, UserAddr length_addr) {
  return SysAccept4(t, fd, addr, length_addr, 0);
}

ErrorOr<void> SysConnect(Task& t, int fd, UserAddr addr, int length) {
  Ref<Socket> socket = TRY(GetSocket(t, fd));
  SocketAddress address = TRY(ReadSocketAddress(t, addr, length));
  TaskSocketCaller caller(t);
  bool nonblocking = socket->nonblocking();
  auto attempt = [&] { return socket->Connect(caller, address, nonblocking); };
  int64_t timeout = socket->send_timeout_ns();
  int64_t deadline = SocketDeadline(timeout);
  constexpr EventMask kEvents = abi::kPOLLOUT | abi::kPOLLWRNORM | abi::kPOLLWRBAND;
  ErrorOr<void> r = nonblocking ? attempt() : t.BlockOn(*socket->wait_queue(), kEvents, deadline, attempt);
  if (r.ok() || nonblocking) return r;
  if (r.error() != kEINPROGRESS) return SocketWaitError(r.error(), timeout);
  r = t.BlockOn(*socket->wait_queue(), kEvents, deadline, [&] { return socket->FinishConnect(); });
  if (!r.ok() && r.error() == kETIMEDOUT && deadline != kForever) return kEINPROGRESS;
  return r.ok() ? r : SocketWaitError(r.error(), timeout);
}

ErrorOr<void> SysGetsockname(Task& t, int fd, UserAddr addr, UserAddr length_addr) {
  Ref<Socket> socket = TRY(GetSocket(t, fd));
  return WriteSocketAddress(t, TRY(socket->LocalName()), addr, length_addr);
}
ErrorOr<void> SysGetpeername(Task& t, int fd, UserAddr addr, UserAddr length_addr) {
  Ref<Socket> socket = TRY(GetSocket(t, fd));
  return WriteSocketAddress(t, TRY(socket->PeerName()), addr, length_addr);
}

ErrorOr<void> SysShutdown(Task& t, int fd, int how) {
  Ref<Socket> socket = TRY(GetSocket(t, fd));
  return socket->Shutdown(how);
}

ErrorOr<void> SysSetsockopt(Task& t, int fd, int level, int name, UserAddr value, int length) {
  constexpr int kMaxOption = 4096;  // bytes that any option looks at
  Ref<Socket> socket = TRY(GetSocket(t, fd));
  if (length < 0) return kEINVAL;
  auto bytes = TRY(t.mm().ReadArray<std::byte>(value, static_cast<size_t>(std::min(length, kMaxOption)), kMaxOption));
  return socket->SetOption(TaskSocketCaller(t), level, name, bytes);
}

ErrorOr<void> SysGetsockopt(Task& t, int fd, int level, int name, UserAddr value, UserAddr length_addr) {
  Ref<Socket> socket = TRY(GetSocket(t, fd));
  int room = TRY(t.mm().Read<int>(length_addr));
  if (room < 0) return kEINVAL;
  std::string bytes = TRY(socket->GetOption(TaskSocketCaller(t), level, name, static_cast<size_t>(room)));
  size_t n = std::min(bytes.size(), static_cast<size_t>(room));
  if (n) TRY(t.mm().CopyOut(value, bytes.data(), n));
  return t.mm().Write<int>(length_addr, static_cast<int>(n));
}

constexpr SyscallRow kRows[] = {
    CALL_PARTIAL(socket, SysSocket, "int hex int", "AF_UNIX, AF_INET and AF_INET6 over loopback, NETLINK_ROUTE; no raw sockets"),
    CALL(socketpair, SysSocketpair, "int hex int ptr"),
    CALL(bind, SysBind, "fd ptr int"),
    CALL(listen, SysListen, "fd int"),
    CALL(accept, SysAccept, "fd ptr ptr"),
    CALL(accept4, SysAccept4, "fd ptr ptr hex"),
    CALL(connect, SysConnect, "fd ptr int"),
    CALL(getsockname, SysGetsockname, "fd ptr ptr"),
    CALL(getpeername, SysGetpeername, "fd ptr ptr"),
    CALL(sendto, SysSendto, "fd buf:2 u64 hex ptr int"),
    CALL(recvfrom, SysRecvfrom, "fd out:2 u64 hex ptr ptr"),
    CALL(sendmsg, SysSendmsg, "fd ptr hex"),
    CALL(recvmsg, SysRecvmsg, "fd ptr hex"),
    CALL(sendmmsg, SysSendmmsg, "fd ptr uint hex"),
    CALL(recvmmsg, SysRecvmmsg, "fd ptr uint hex timespec"),
    CALL(shutdown, SysShutdown, "fd int"),
    CALL(setsockopt, SysSetsockopt, "fd int int ptr int"),
    CALL(getsockopt, SysGetsockopt, "fd int int ptr ptr"),
};

}  // namespace

const SyscallFamily kSocketCalls = {"sockets", kRows};

}  // namespace moat
