// POSIX message queues: mq_overview(7).
#include "abi/fcntl.h"
#include "abi/mqueue.h"
#include "abi/rlimit.h"
#include "abi/signal.h"
#include "abi/time.h"
#include "fs/mqueue/mqueue.h"
#include "fs/vfs/fd_table.h"
#include "sentry/kernel/fs_context.h"
#include "sentry/kernel/ipc/ipc_namespace.h"
#include "sentry/kernel/kernel.h"
#include "sentry/kernel/thread_group.h"
#include "sentry/kernel/timers.h"
#include "sentry/syscalls/families.h"
#include "sentry/syscalls/timeouts.h"

namespace moat {
namespace {

ErrorOr<uint64_t> SysMqOpen(Task& t, UserAddr name_addr, uint32_t flags, uint32_t mode, UserAddr attr_addr) {
  abi::MqAttr attr{};
  if (attr_addr) attr = TRY(t.mm().Read<abi::MqAttr>(attr_addr));
  std::string name = TRY(t.mm().ReadPath(name_addr));
  Ref<MqueueFile> file = TRY(t.kernel().ipc().mq().Open(t.creds(), name, flags, mode & ~t.fs().umask(),
                                                        attr_addr ? &attr : nullptr, t.group().Limit(abi::kRLIMIT_MSGQUEUE)));
  return TRY(t.fds().Install(std::move(file), true, t.group().Limit(abi::kRLIMIT_NOFILE)));
}

ErrorOr<void> SysMqUnlink(Task& t, UserAddr name_addr) {
  std::string name = TRY(t.mm().ReadPath(name_addr));
  return t.kernel().ipc().mq().Unlink(t.creds(), name);
}

ErrorOr<Ref<MqueueFile>> GetQueue(Task& t, int fd) {
  Ref<MqueueFile> file = RefCast<MqueueFile>(TRY(t.fds().Get(fd)));
  if (!file) return kEBADF;
  return file;
}

// An absolute CLOCK_REALTIME timeout, or none.
ErrorOr<int64_t> QueueDeadline(Task& t, UserAddr timeout) {
  if (!timeout) return kForever;
  return ToMonotonicDeadline(abi::kCLOCK_REALTIME, TRY(ToNs(TRY(t.mm().Read<abi::Timespec>(timeout)))));
}

ErrorOr<void> SysMqTimedsend(Task& t, int fd, UserAddr buf, uint64_t size, uint32_t priority, UserAddr timeout) {
  int64_t deadline = TRY(QueueDeadline(t, timeout));
  if (priority >= abi::kMQ_PRIO_MAX) return kEINVAL;
  Ref<MqueueFile> file = TRY(GetQueue(t, fd));
  if (!file->writable()) return kEBADF;
  Mqueue& queue = file->queue();
  if (size > queue.max_size) return kEMSGSIZE;
  std::string text(size, '\0');
  if (size) TRY(t.mm().CopyIn(buf, text.data(), size));
  auto attempt = [&] { return queue.TrySend(text, priority, t.tgid(), t.creds().uid); };
  if (file->nonblocking()) return attempt();
  return t.BlockOn(queue.senders, ~0u, deadline, attempt);
}

ErrorOr<uint64_t> SysMqTimedreceive(Task& t, int fd, UserAddr buf, uint64_t size, UserAddr priority_addr, UserAddr timeout) {
  int64_t deadline = TRY(QueueDeadline(t, timeout));
  Ref<MqueueFile> file = TRY(GetQueue(t, fd));
  if (!file->readable()) return kEBADF;
  Mqueue& queue = file->queue();
  uint32_t priority = 0;
  auto attempt = [&] { return queue.TryReceive(size, &priority); };
  ErrorOr<std::string> text = attempt();
  if (text.error() == kEAGAIN && !file->nonblocking()) {
    queue.CountReceiver(1);
    text = t.BlockOn(queue.receivers, ~0u, deadline, attempt);
    queue.CountReceiver(-1);
  }
  if (!text.ok()) return text.error();
  if (priority_addr) TRY(t.mm().Write(priority_addr, priority));
  if (!text->empty()) TRY(t.mm().CopyOut(buf, text->data(), text->size()));
  return uint64_t{text->size()};
}

ErrorOr<void> SysMqNotify(Task& t, int fd, UserAddr event_addr) {
  abi::Sigevent event{};
  if (event_addr) {
    event = TRY(t.mm().Read<abi::Sigevent>(event_addr));
    if (event.sigev_notify == abi::kSIGEV_THREAD) return kENOSYS;
    if (event.sigev_notify != abi::kSIGEV_NONE && event.sigev_notify != abi::kSIGEV_SIGNAL) return kEINVAL;
    if (event.sigev_notify == abi::kSIGEV_SIGNAL && (event.sigev_signo < 0 || event.sigev_signo > abi::kNSIG)) return kEINVAL;
  }
  Ref<MqueueFile> file = TRY(GetQueue(t, fd));
  if (!event_addr) {
    file->queue().UnregisterProcess(t.tgid());
    return {};
  }
  MqNotification n;
  n.pid = t.tgid();
  n.kind = event.sigev_notify;
  n.signo = event.sigev_signo;
  n.owner = &t.fds();
  if (event.sigev_notify == abi::kSIGEV_SIGNAL && event.sigev_signo != 0) {
    // By number: the registration does not outlive the process's descriptor, nor hold the process.
    n.notify = [&kernel = t.kernel(), tgid = t.tgid(), event](int pid, uint32_t uid) {
      abi::SigInfo info = MakeSigInfo(event.sigev_signo, abi::kSI_MESGQ);
      info.si_pid = pid;
      info.si_uid = uid;
      info.si_value = event.sigev_value;
      if (Ref<ThreadGroup> group = kernel.GetGroup(tgid)) group->SendSignal(info);
    };
  }
  return file->queue().Register(std::move(n));
}

ErrorOr<void> SysMqGetsetattr(Task& t, int fd, UserAddr new_attr, UserAddr old_attr) {
  abi::MqAttr wanted{};
  if (new_attr) {
    wanted = TRY(t.mm().Read<abi::MqAttr>(new_attr));
    if (wanted.mq_flags & ~int64_t{abi::kO_NONBLOCK}) return kEINVAL;
  }
  Ref<MqueueFile> file = TRY(GetQueue(t, fd));
  abi::MqAttr now{};
  now.mq_flags = file->flags() & abi::kO_NONBLOCK;
  now.mq_maxmsg = file->queue().max_messages;
  now.mq_msgsize = file->queue().max_size;
  now.mq_curmsgs = file->queue().CurrentMessages();
  if (new_attr) {
    uint32_t flags = (file->flags() & ~abi::kO_NONBLOCK) | static_cast<uint32_t>(wanted.mq_flags);
    TRY(file->SetFlags(flags));
  }
  if (old_attr) return t.mm().Write(old_attr, now);
  return {};
}

constexpr SyscallRow kRows[] = {
    CALL(mq_open, SysMqOpen, "str flags:open oct ptr"),
    CALL(mq_unlink, SysMqUnlink, "str"),
    CALL(mq_timedsend, SysMqTimedsend, "fd buf:2 u64 uint timespec"),
    CALL(mq_timedreceive, SysMqTimedreceive, "fd out:2 u64 ptr timespec"),
    CALL_PARTIAL(mq_notify, SysMqNotify, "fd ptr", "SIGEV_THREAD, glibc's way through a netlink socket: ENOSYS"),
    CALL(mq_getsetattr, SysMqGetsetattr, "fd ptr ptr"),
};

}  // namespace

const SyscallFamily kMqueueCalls = {"POSIX message queues", kRows};

}  // namespace moat
