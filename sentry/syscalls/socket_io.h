// What the system calls of sockets share: waiting, addresses, who calls.
#pragma once

#include <cstdint>

#include "base/kern/io.h"
#include "base/util/error.h"
#include "fs/vfs/path_walk.h"
#include "sentry/kernel/task.h"
#include "sentry/net/socket.h"

namespace moat {

class TaskSocketCaller final : public SocketCaller {
 public:
  explicit TaskSocketCaller(Task& t) : task_(t) {}
  const Credentials& creds() const override { return task_.creds(); }
  int pid() const override { return task_.tgid(); }
  WalkContext walk() const override { return task_.WalkView(); }
  uint32_t umask() const override;
  uint64_t descriptor_limit() const override;

 private:
  Task& task_;
};

// kEBADF, kENOTSOCK.
ErrorOr<Ref<Socket>> GetSocket(Task& t, int fd);

// A sockaddr of the guest. kEINVAL: the length cannot be.
ErrorOr<SocketAddress> ReadSocketAddress(Task& t, UserAddr addr, int length);
// Writes what fits into the guest's buffer, whose size is at `length_addr`, and the whole length there.
ErrorOr<void> WriteSocketAddress(Task& t, const SocketAddress& address, UserAddr addr, UserAddr length_addr);

// Sends all (streams) or one message, waiting as the socket and the flags say. Raises SIGPIPE.
ErrorOr<uint64_t> SendOn(Task& t, Socket& socket, IoSource& src, SendInfo& info);
// Receives; MSG_WAITALL waits until `dst` is full.
ErrorOr<uint64_t> ReceiveOn(Task& t, Socket& socket, IoSink& dst, ReceiveInfo& info);

// The deadline of a call that may wait `timeout_ns` (INT64_MAX: forever).
int64_t SocketDeadline(int64_t timeout_ns);
// What a wait that ended with `error` returns: a time-out is kEAGAIN, and a call with one is not made again after a signal.
Errno SocketWaitError(Errno error, int64_t timeout_ns);

// Message calls (sys_sockmsg.cc), rows of the one table.
ErrorOr<uint64_t> SysSendto(Task& t, int fd, UserAddr buf, uint64_t size, uint32_t flags, UserAddr addr, int length);
ErrorOr<uint64_t> SysRecvfrom(Task& t, int fd, UserAddr buf, uint64_t size, uint32_t flags, UserAddr addr, UserAddr length);
ErrorOr<uint64_t> SysSendmsg(Task& t, int fd, UserAddr msg, uint32_t flags);
ErrorOr<uint64_t> SysRecvmsg(Task& t, int fd, UserAddr msg, uint32_t flags);
ErrorOr<uint64_t> SysSendmmsg(Task& t, int fd, UserAddr msgs, uint32_t count, uint32_t flags);
ErrorOr<uint64_t> SysRecvmmsg(Task& t, int fd, UserAddr msgs, uint32_t count, uint32_t flags, UserAddr timeout);

}  // namespace moat
