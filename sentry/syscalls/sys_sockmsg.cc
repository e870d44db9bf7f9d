// Messages of sockets: send and receive calls and their control data (sendmsg(2), cmsg(3), unix(7)).
#include <algorithm>

#include "abi/capability.h"
#include "abi/poll.h"
#include "abi/rlimit.h"
#include "abi/signal.h"
#include "abi/uio.h"
#include "base/host/time.h"
#include "fs/vfs/fd_table.h"
#include "sentry/kernel/kernel.h"
#include "sentry/kernel/thread_group.h"
#include "sentry/syscalls/file_io.h"
#include "sentry/syscalls/socket_io.h"
#include "sentry/syscalls/timeouts.h"

namespace moat {

namespace {

constexpr EventMask kReceiveEvents = abi::kPOLLIN | abi::kPOLLRDNORM | abi::kPOLLPRI | abi::kPOLLRDHUP;
constexpr EventMask kSendEvents = abi::kPOLLOUT | abi::kPOLLWRNORM | abi::kPOLLWRBAND;
constexpr uint64_t kMaxControl = 20480;  // net.core.optmem_max

}  // namespace

ErrorOr<uint64_t> SendOn(Task& t, Socket& socket, IoSource& src, SendInfo& info) {
  if (socket.nonblocking()) info.flags |= abi::kMSG_DONTWAIT;
  bool waits = !(info.flags & abi::kMSG_DONTWAIT);
  TaskSocketCaller caller(t);
  int64_t timeout = socket.send_timeout_ns();
  int64_t deadline = waits ? SocketDeadline(timeout) : 0;
  size_t done = 0;
  auto attempt = [&] { return socket.TrySend(&caller, src, info); };
  for (;;) {
    ErrorOr<size_t> r = waits ? t.BlockOn(*socket.wait_queue(), kSendEvents, deadline, attempt) : attempt();
    if (!r.ok()) {
      if (done) return done;
      if (r.error() == kEPIPE && socket.is_stream() && !(info.flags & abi::kMSG_NOSIGNAL)) {
        t.SendSignal(MakeSigInfo(abi::kSIGPIPE, abi::kSI_USER));
      }
      return SocketWaitError(r.error(), timeout);
    }
    done += *r;
    if (!socket.is_stream() || src.remaining() == 0 || !waits) return done;
  }
}

ErrorOr<uint64_t> ReceiveOn(Task& t, Socket& socket, IoSink& dst, ReceiveInfo& info) {
  if (socket.nonblocking()) info.flags |= abi::kMSG_DONTWAIT;
  bool waits = !(info.flags & abi::kMSG_DONTWAIT);
  bool all = socket.is_stream() && (info.flags & abi::kMSG_WAITALL) && !(info.flags & (abi::kMSG_PEEK | abi::kMSG_OOB));
  int64_t timeout = socket.receive_timeout_ns();
  int64_t deadline = waits ? SocketDeadline(timeout) : 0;
  size_t done = 0;
  auto attempt = [&] { return socket.TryReceive(dst, info); };
  for (;;) {
    ErrorOr<size_t> r = waits ? t.BlockOn(*socket.wait_queue(), kReceiveEvents, deadline, attempt) : attempt();
    if (!r.ok()) return done ? ErrorOr<uint64_t>(done) : SocketWaitError(r.error(), timeout);
    done += *r;
    if (!all || *r == 0 || dst.remaining() == 0 || !info.files.empty()) return done;
  }
}

namespace {

// --- Control data, in. ---

ErrorOr<void> TakeRights(Task& t, const std::byte* data, size_t size, SendInfo& info) {
  size_t count = size / sizeof(int);
  if (info.files.size() + count > static_cast<size_t>(abi::kSCM_MAX_FD)) return kEINVAL;
  for (size_t i = 0; i < count; ++i) {
    int fd;
    memcpy(&fd, data + i * sizeof fd, sizeof fd);
    if (fd < 0) return kEBADF;
    info.files.push_back(TRY(t.fds().GetRaw(fd)));
  }
  return {};
}

ErrorOr<void> TakeCredentials(Task& t, const std::byte* data, size_t size, SendInfo& info) {
  abi::Ucred cred;
  if (size != sizeof cred) return kEINVAL;
  memcpy(&cred, data, sizeof cred);
  const Credentials& me = t.creds();
  bool pid_ok = cred.pid == t.tgid() || me.Has(abi::kCAP_SYS_ADMIN);
  bool uid_ok = cred.uid == me.uid || cred.uid == me.euid || cred.uid == me.suid || me.Has(abi::kCAP_SETUID);
  bool gid_ok = cred.gid == me.gid || cred.gid == me.egid || cred.gid == me.sgid || me.Has(abi::kCAP_SETGID);
  if (!pid_ok || !uid_ok || !gid_ok) return kEPERM;
  if (cred.pid != t.tgid() && !t.kernel().GetTask(cred.pid)) return kESRCH;
  info.credentials = cred;
  info.has_credentials = true;
  return {};
}

ErrorOr<void> TakeControlMessage(Task& t, const Socket& socket, const abi::Cmsghdr& header, const std::byte* data,
                                 size_t size, SendInfo& info) {
  bool local = socket.family() == abi::kAF_UNIX;
  if (header.cmsg_level != abi::kSOL_SOCKET) {
    if (!local) {
      info.control.push_back({header.cmsg_level, header.cmsg_type, OptionBytes(data, size)});
    }
    return {};
  }
  if (header.cmsg_type == abi::kSCM_RIGHTS && local) return TakeRights(t, data, size, info);
  if (header.cmsg_type == abi::kSCM_CREDENTIALS && (local || socket.family() == abi::kAF_NETLINK)) {
    return TakeCredentials(t, data, size, info);
  }
  return kEINVAL;
}

ErrorOr<void> ReadControl(Task& t, const Socket& socket, UserAddr addr, uint64_t length, SendInfo& info) {
  if (length > INT32_MAX || length > kMaxControl) return kENOBUFS;
  if (!length) return {};
  std::vector<std::byte> control = TRY(t.mm().ReadArray<std::byte>(addr, length, kMaxControl));
  size_t at = 0;
  while (at + sizeof(abi::Cmsghdr) <= control.size()) {
    abi::Cmsghdr header;
    memcpy(&header, &control[at], sizeof header);
    if (header.cmsg_len < sizeof header || header.cmsg_len > control.size() - at) return kEINVAL;
    const std::byte* data = control.data() + at + sizeof header;
    TRY(TakeControlMessage(t, socket, header, data, header.cmsg_len - sizeof header, info));
    at += abi::CmsgAlign(header.cmsg_len);
  }
  return {};
}

// --- Control data, out. ---

class ControlWriter {
 public:
  ControlWriter(Task& t, UserAddr addr, uint64_t room) : task_(t), addr_(addr), room_(addr ? room : 0) {}
  uint64_t written() const { return at_; }
  bool truncated() const { return truncated_; }

  ErrorOr<void> Put(int level, int type, std::string_view data) {
    uint64_t left = room_ - at_;
    if (left < sizeof(abi::Cmsghdr)) {
      truncated_ = true;
      return {};
    }
    uint64_t length = abi::CmsgLen(data.size());
    if (length > left) {
      truncated_ = true;
      length = left;
    }
    abi::Cmsghdr header{length, level, type};
    TRY(task_.mm().Write(addr_ + at_, header));
    TRY(task_.mm().CopyOut(addr_ + at_ + sizeof header, data.data(), length - sizeof header));
    at_ += std::min(abi::CmsgSpace(data.size()), left);
    return {};
  }

  // Descriptors that do not fit, or cannot be had, are closed.
  ErrorOr<void> PutFiles(std::vector<Ref<FileDescription>>& files, bool cloexec) {
    uint64_t left = room_ - at_;
    size_t fit = left < sizeof(abi::Cmsghdr) ? 0 : (left - sizeof(abi::Cmsghdr)) / sizeof(int);
    std::string numbers;
    size_t n = 0;
    for (; n < std::min(fit, files.size()); ++n) {
      ErrorOr<int> fd = task_.fds().Install(std::move(files[n]), cloexec, task_.group().Limit(abi::kRLIMIT_NOFILE));
      if (!fd.ok()) break;
      numbers += OptionInt(*fd);
    }
    if (n < files.size()) truncated_ = true;
    files.clear();
    return n ? Put(abi::kSOL_SOCKET, abi::kSCM_RIGHTS, numbers) : ErrorOr<void>();
  }

 private:
  Task& task_;
  const UserAddr addr_;
  const uint64_t room_;
  uint64_t at_ = 0;
  bool truncated_ = false;
};

ErrorOr<void> WriteControl(Task& t, ControlWriter& out, ReceiveInfo& info) {
  for (const SocketControlMessage& m : info.control) TRY(out.Put(m.level, m.type, m.data));
  if (info.has_credentials) {
    TRY(out.Put(abi::kSOL_SOCKET, abi::kSCM_CREDENTIALS, OptionBytes(&info.credentials, sizeof info.credentials)));
  }
  if (!info.files.empty()) TRY(out.PutFiles(info.files, (info.flags & abi::kMSG_CMSG_CLOEXEC) != 0));
  if (out.truncated()) info.out_flags |= abi::kMSG_CTRUNC;
  return {};
}

// --- Messages. ---

ErrorOr<std::vector<UserRange>> MessageRanges(Task& t, const abi::Msghdr& msg) {
  if (msg.msg_iovlen > abi::kUIO_MAXIOV) return kEMSGSIZE;
  return ReadIovec(t, msg.msg_iov, msg.msg_iovlen);
}

ErrorOr<uint64_t> SendMessage(Task& t, Socket& socket, UserAddr addr, uint32_t flags) {
  abi::Msghdr msg = TRY(t.mm().Read<abi::Msghdr>(addr));
  SendInfo info;
  info.flags = flags;
  SocketAddress to;
  if (msg.msg_name && msg.msg_namelen) {
    if (msg.msg_namelen < 0) return kEINVAL;
    int length = std::min<int>(msg.msg_namelen, static_cast<int>(to.bytes.size()));
    to = TRY(ReadSocketAddress(t, msg.msg_name, length));
    info.to = &to;
  }
  UserSource src(t.mm(), TRY(MessageRanges(t, msg)));
  TRY(ReadControl(t, socket, msg.msg_control, msg.msg_control ? msg.msg_controllen : 0, info));
  return SendOn(t, socket, src, info);
}

ErrorOr<uint64_t> ReceiveMessage(Task& t, Socket& socket, UserAddr addr, uint32_t flags) {
  abi::Msghdr msg = TRY(t.mm().Read<abi::Msghdr>(addr));
  if (msg.msg_name && msg.msg_namelen < 0) return kEINVAL;
  UserSink dst(t.mm(), TRY(MessageRanges(t, msg)));
  ReceiveInfo info;
  info.flags = flags;
  info.wants_control = msg.msg_control && msg.msg_controllen > 0;
  uint64_t n = TRY(ReceiveOn(t, socket, dst, info));
  if (msg.msg_name) {
    uint32_t room = std::min(static_cast<uint32_t>(msg.msg_namelen), info.from.length);
    if (room) TRY(t.mm().CopyOut(msg.msg_name, info.from.bytes.data(), room));
    TRY(t.mm().Write(addr + offsetof(abi::Msghdr, msg_namelen), info.from.length));
  }
  ControlWriter control(t, msg.msg_control, msg.msg_controllen);
  TRY(WriteControl(t, control, info));
  TRY(t.mm().Write<uint32_t>(addr + offsetof(abi::Msghdr, msg_flags), info.out_flags | (flags & abi::kMSG_CMSG_CLOEXEC)));
  TRY(t.mm().Write<uint64_t>(addr + offsetof(abi::Msghdr, msg_controllen), control.written()));
  return n;
}

// A buffer of the guest as recvfrom(2) and sendto(2) give it.
ErrorOr<std::vector<UserRange>> OneRange(Task& t, UserAddr buf, uint64_t size) {
  size = std::min<uint64_t>(size, kMaxIo);
  uint64_t end = t.mm().platform_info().task_size;
  if (size && (size > end || buf > end - size)) return kEFAULT;
  return std::vector<UserRange>{{buf, size}};
}

}  // namespace

ErrorOr<uint64_t> SysSendto(Task& t, int fd, UserAddr buf, uint64_t size, uint32_t flags, UserAddr addr, int length) {
  UserSource src(t.mm(), TRY(OneRange(t, buf, size)));
  Ref<Socket> socket = TRY(GetSocket(t, fd));
  SendInfo info;
  info.flags = flags;
  SocketAddress to;
  if (addr) {
    to = TRY(ReadSocketAddress(t, addr, length));
    if (length) info.to = &to;
  }
  return SendOn(t, *socket, src, info);
}

ErrorOr<uint64_t> SysRecvfrom(Task& t, int fd, UserAddr buf, uint64_t size, uint32_t flags, UserAddr addr,
                              UserAddr length_addr) {
  UserSink dst(t.mm(), TRY(OneRange(t, buf, size)));
  Ref<Socket> socket = TRY(GetSocket(t, fd));
  ReceiveInfo info;
  info.flags = flags;
  info.wants_control = false;
  uint64_t n = TRY(ReceiveOn(t, *socket, dst, info));
  if (addr) TRY(WriteSocketAddress(t, info.from, addr, length_addr));
  return n;
}

ErrorOr<uint64_t> SysSendmsg(Task& t, int fd, UserAddr msg, uint32_t flags) {
  Ref<Socket> socket = TRY(GetSocket(t, fd));
  return SendMessage(t, *socket, msg, flags);
}

ErrorOr<uint64_t> SysRecvmsg(Task& t, int fd, UserAddr msg, uint32_t flags) {
  Ref<Socket> socket = TRY(GetSocket(t, fd));
  return ReceiveMessage(t, *socket, msg, flags);
}

ErrorOr<uint64_t> SysSendmmsg(Task& t, int fd, UserAddr msgs, uint32_t count, uint32_t flags) {
  Ref<Socket> socket = TRY(GetSocket(t, fd));
  count = std::min(count, static_cast<uint32_t>(abi::kUIO_MAXIOV));
  for (uint32_t i = 0; i < count; ++i) {
    UserAddr addr = msgs + i * sizeof(abi::Mmsghdr);
    ErrorOr<uint64_t> n = SendMessage(t, *socket, addr, flags);
    if (!n.ok()) return i ? ErrorOr<uint64_t>(i) : n;
    ErrorOr<void> written = t.mm().Write(addr + offsetof(abi::Mmsghdr, msg_len), static_cast<uint32_t>(*n));
    if (!written.ok()) return i ? ErrorOr<uint64_t>(i) : written.error();
  }
  return count;
}

ErrorOr<uint64_t> SysRecvmmsg(Task& t, int fd, UserAddr msgs, uint32_t count, uint32_t flags, UserAddr timeout) {
  // As in Linux the time is looked at between messages: it does not end a wait for one.
  int64_t deadline = timeout ? TRY(ReadTimeout(t, timeout)) : kForever;
  Ref<Socket> socket = TRY(GetSocket(t, fd));
  count = std::min(count, static_cast<uint32_t>(abi::kUIO_MAXIOV));
  uint32_t done = 0;
  while (done < count) {
    UserAddr addr = msgs + done * sizeof(abi::Mmsghdr);
    ErrorOr<uint64_t> n = ReceiveMessage(t, *socket, addr, flags & ~abi::kMSG_WAITFORONE);
    if (!n.ok() && done == 0) return n;
    if (!n.ok()) break;
    TRY(t.mm().Write(addr + offsetof(abi::Mmsghdr, msg_len), static_cast<uint32_t>(*n)));
    ++done;
    if (flags & abi::kMSG_WAITFORONE) flags |= abi::kMSG_DONTWAIT;
    if (deadline != kForever && host::NowMonotonicNs() >= deadline) break;
  }
  if (timeout && deadline != kForever) {
    int64_t left = std::max<int64_t>(deadline - host::NowMonotonicNs(), 0);
    TRY(t.mm().Write(timeout, abi::Timespec{left / kNsPerSecond, left % kNsPerSecond}));
  }
  return done;
}

}  // namespace moat
