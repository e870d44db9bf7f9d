// System V IPC: shared memory, semaphores, message queues.
#include <algorithm>

#include "abi/capability.h"
#include "abi/ipc.h"
#include "abi/mman.h"
#include "abi/rlimit.h"
#include "sentry/kernel/ipc/ipc_namespace.h"
#include "sentry/kernel/ipc/message_queue.h"
#include "sentry/kernel/ipc/semaphore.h"
#include "sentry/kernel/ipc/shared_memory.h"
#include "sentry/kernel/kernel.h"
#include "sentry/kernel/limits.h"
#include "sentry/kernel/thread_group.h"
#include "sentry/syscalls/families.h"
#include "sentry/syscalls/timeouts.h"

namespace moat {
namespace {

constexpr uint64_t kPage = 4096;

uint64_t AsResult(int value) { return static_cast<uint64_t>(value); }

// Copies a struct out; the call's result is `value`.
template <class T>
ErrorOr<uint64_t> Give(Task& t, UserAddr addr, const T& what, int value = 0) {
  TRY(t.mm().Write(addr, what));
  return AsResult(value);
}

// --- Shared memory. ---

ErrorOr<uint64_t> SysShmget(Task& t, int32_t key, uint64_t size, int flags) {
  return AsResult(TRY(t.kernel().ipc().shm().Get(t.creds(), key, size, flags, t.tgid())));
}

ErrorOr<uint64_t> SysShmat(Task& t, int id, UserAddr addr, int flags) {
  bool remap = flags & abi::kSHM_REMAP, read_only = flags & abi::kSHM_RDONLY, exec = flags & abi::kSHM_EXEC;
  if (id < 0) return kEINVAL;
  if (addr % kPage != 0) {
    if (!(flags & abi::kSHM_RND)) return kEINVAL;
    addr -= addr % kPage;
    if (!addr && remap) return kEINVAL;
  } else if (!addr && remap) {
    return kEINVAL;
  }
  bool fixed = addr != 0;
  int access = 0400 | (read_only ? 0 : 0200) | (exec ? 0100 : 0);
  Ref<ShmAttachment> file = TRY(t.kernel().ipc().shm().Attach(t.creds(), id, access, t.tgid()));
  MmapArgs args;
  args.addr = addr;
  args.length = file->segment().size;
  args.prot = static_cast<int>(abi::kPROT_READ | (read_only ? 0 : abi::kPROT_WRITE) | (exec ? abi::kPROT_EXEC : 0));
  uint32_t place = !fixed ? 0 : remap ? abi::kMAP_FIXED : abi::kMAP_FIXED_NOREPLACE;
  args.flags = static_cast<int>(abi::kMAP_SHARED | place);
  args.file = std::move(file);
  ErrorOr<UserAddr> at = t.mm().Mmap(args, MemoryLimitsOf(t));
  if (at.error() == kEEXIST) return kEINVAL;  // shmat(2): the address is in use
  return at;
}

// The first attachment of which `addr` is the start; a hole may have been punched into its beginning.
ErrorOr<void> SysShmdt(Task& t, UserAddr addr) {
  if (addr % kPage != 0) return kEINVAL;
  Ref<ShmAttachment> found;
  std::vector<std::pair<UserAddr, uint64_t>> parts;
  t.mm().ForEachVma([&](const Vma& v) {
    if (v.start < addr || !v.file || v.start - addr != v.offset) return;
    if (!found) found = RefCast<ShmAttachment>(v.file);
    if (found && v.file == found) parts.emplace_back(v.start, v.length());
  });
  if (!found) return kEINVAL;
  for (auto [start, length] : parts) TRY(t.mm().Munmap(start, length));
  found->segment().last_pid.store(t.tgid(), std::memory_order_relaxed);
  return {};
}

ErrorOr<uint64_t> SysShmctl(Task& t, int id, int command, UserAddr buf) {
  SharedSegments& shm = t.kernel().ipc().shm();
  const Credentials& creds = t.creds();
  if (id < 0 || command < 0) return kEINVAL;
  int found = 0;
  switch (command) {
    case abi::kIPC_INFO: return Give(t, buf, shm.Limits(), shm.HighestIndex());
    case abi::kSHM_INFO: return Give(t, buf, shm.Info(), shm.HighestIndex());
    case abi::kIPC_STAT: return Give(t, buf, TRY(shm.Stat(creds, id)));
    case abi::kSHM_STAT:
    case abi::kSHM_STAT_ANY: {
      abi::Shmid64Ds ds = TRY(shm.StatAt(creds, id, command == abi::kSHM_STAT_ANY, &found));
      return Give(t, buf, ds, found);
    }
    case abi::kIPC_SET:
      TRY(shm.Set(creds, id, TRY(t.mm().Read<abi::Shmid64Ds>(buf))));
      return uint64_t{0};
    case abi::kIPC_RMID:
      TRY(shm.Remove(creds, id));
      return uint64_t{0};
    case abi::kSHM_LOCK:
    case abi::kSHM_UNLOCK:
      TRY(shm.SetLocked(creds, id, command == abi::kSHM_LOCK, t.group().Limit(abi::kRLIMIT_MEMLOCK) != 0));
      return uint64_t{0};
    default: return kEINVAL;
  }
}

// --- Semaphores. ---

ErrorOr<uint64_t> SysSemget(Task& t, int32_t key, int count, int flags) {
  return AsResult(TRY(t.kernel().ipc().sem().Get(t.creds(), key, count, flags)));
}

ErrorOr<uint64_t> DoSemop(Task& t, int id, UserAddr ops_addr, uint32_t count, std::optional<abi::Timespec> timeout) {
  if (count < 1 || id < 0) return kEINVAL;
  if (count > abi::kSEMOPM) return kE2BIG;
  std::vector<abi::Sembuf> ops = TRY(t.mm().ReadArray<abi::Sembuf>(ops_addr, count, abi::kSEMOPM));
  int64_t deadline = timeout ? DeadlineAfter(TRY(ToNs(*timeout))) : kForever;
  SemaphoreSets& sets = t.kernel().ipc().sem();
  bool undo = std::any_of(ops.begin(), ops.end(), [](const abi::Sembuf& b) { return b.sem_flg & abi::kSEM_UNDO; });
  if (undo && !t.sem_undo) t.sem_undo = MakeRef<SemUndoList>(sets, t.tgid());
  SemOperation op(std::move(ops), t.tgid(), undo ? t.sem_undo : Ref<SemUndoList>());
  Ref<SemaphoreSet> set;
  ErrorOr<void> begun = sets.Begin(t.creds(), id, op, &set);
  if (!set) {
    TRY(std::move(begun));
    return uint64_t{0};
  }
  TaskWaiter waiter(t, ~0u);
  ScopedWait wait(op.queue(), waiter);
  for (;;) {
    Errno result;
    if (SemaphoreSets::Finished(*set, op, &result)) {
      if (result != Errno{0}) return result;
      return uint64_t{0};
    }
    ErrorOr<void> slept = t.Block(deadline);
    if (slept.ok() || !SemaphoreSets::Cancel(*set, op)) continue;
    return slept.error() == kETIMEDOUT ? kEAGAIN : kEINTR;  // semop(2) is never restarted
  }
}

ErrorOr<uint64_t> SysSemop(Task& t, int id, UserAddr ops, uint32_t count) { return DoSemop(t, id, ops, count, {}); }

ErrorOr<uint64_t> SysSemtimedop(Task& t, int id, UserAddr ops, uint32_t count, UserAddr timeout) {
  std::optional<abi::Timespec> wait;
  if (timeout) wait = TRY(t.mm().Read<abi::Timespec>(timeout));
  return DoSemop(t, id, ops, count, wait);
}

ErrorOr<uint64_t> SetAllSemaphores(Task& t, int id, UserAddr array) {
  auto read = [&](size_t n) { return t.mm().ReadArray<uint16_t>(array, n, n); };
  TRY(t.kernel().ipc().sem().SetAll(t.creds(), id, t.tgid(), read));
  return uint64_t{0};
}

ErrorOr<uint64_t> SysSemctl(Task& t, int id, int index, int command, uint64_t arg) {
  SemaphoreSets& sem = t.kernel().ipc().sem();
  const Credentials& creds = t.creds();
  if (id < 0) return kEINVAL;
  int found = 0;
  switch (command) {
    case abi::kIPC_INFO:
    case abi::kSEM_INFO: return Give(t, arg, sem.Limits(command == abi::kSEM_INFO), sem.HighestIndex());
    case abi::kIPC_STAT: return Give(t, arg, TRY(sem.Stat(creds, id)));
    case abi::kSEM_STAT:
    case abi::kSEM_STAT_ANY: {
      abi::Semid64Ds ds = TRY(sem.StatAt(creds, id, command == abi::kSEM_STAT_ANY, &found));
      return Give(t, arg, ds, found);
    }
    case abi::kGETVAL:
    case abi::kGETPID:
    case abi::kGETNCNT:
    case abi::kGETZCNT: return AsResult(TRY(sem.GetOne(creds, id, index, command)));
    case abi::kGETALL: {
      std::vector<uint16_t> values = TRY(sem.GetAll(creds, id));
      TRY(t.mm().CopyOut(arg, values.data(), values.size() * sizeof values[0]));
      return uint64_t{0};
    }
    case abi::kSETVAL:
      TRY(sem.SetOne(creds, id, index, static_cast<int>(arg), t.tgid()));
      return uint64_t{0};
    case abi::kSETALL: return SetAllSemaphores(t, id, arg);
    case abi::kIPC_SET:
      TRY(sem.Set(creds, id, TRY(t.mm().Read<abi::Semid64Ds>(arg))));
      return uint64_t{0};
    case abi::kIPC_RMID:
      TRY(sem.Remove(creds, id));
      return uint64_t{0};
    default: return kEINVAL;
  }
}

// --- Message queues. ---

ErrorOr<uint64_t> SysMsgget(Task& t, int32_t key, int flags) {
  return AsResult(TRY(t.kernel().ipc().msg().Get(t.creds(), key, flags)));
}

// A handler ends the wait for good; without one the call goes on (msgop(2)).
Errno AfterWait(Errno error) { return error == kERESTARTSYS ? kERESTARTNOHAND : error; }

ErrorOr<void> SysMsgsnd(Task& t, int id, UserAddr buf, uint64_t size, int flags) {
  SysvMessage message;
  message.type = TRY(t.mm().Read<int64_t>(buf));
  if (size > static_cast<uint64_t>(abi::kMSGMAX) || id < 0 || message.type < 1) return kEINVAL;
  message.text.resize(size);
  if (size) TRY(t.mm().CopyIn(buf + sizeof message.type, message.text.data(), size));
  Ref<SysvQueue> queue = TRY(t.kernel().ipc().msg().Find(id));
  auto attempt = [&] { return queue->TrySend(t.creds(), message, t.tgid()); };
  if (flags & abi::kIPC_NOWAIT) return attempt();
  ErrorOr<void> sent = t.BlockOn(queue->senders, ~0u, kForever, attempt);
  if (!sent.ok()) return AfterWait(sent.error());
  return {};
}

ErrorOr<uint64_t> SysMsgrcv(Task& t, int id, UserAddr buf, uint64_t size, int64_t type, int flags) {
  if (id < 0 || size > INT64_MAX) return kEINVAL;
  bool nowait = flags & abi::kIPC_NOWAIT;
  if ((flags & abi::kMSG_COPY) && ((flags & abi::kMSG_EXCEPT) || !nowait)) return kEINVAL;
  Ref<SysvQueue> queue = TRY(t.kernel().ipc().msg().Find(id));
  auto attempt = [&] { return queue->TryReceive(t.creds(), size, type, flags, t.tgid()); };
  ErrorOr<SysvMessage> message = nowait ? attempt() : t.BlockOn(queue->receivers, ~0u, kForever, attempt);
  if (!message.ok()) return message.error() == kEAGAIN ? kENOMSG : AfterWait(message.error());
  TRY(t.mm().Write(buf, message->type));
  if (!message->text.empty()) TRY(t.mm().CopyOut(buf + sizeof message->type, message->text.data(), message->text.size()));
  return uint64_t{message->text.size()};
}

ErrorOr<uint64_t> SysMsgctl(Task& t, int id, int command, UserAddr buf) {
  MessageQueues& msg = t.kernel().ipc().msg();
  const Credentials& creds = t.creds();
  if (id < 0 || command < 0) return kEINVAL;
  int found = 0;
  switch (command) {
    case abi::kIPC_INFO:
    case abi::kMSG_INFO: return Give(t, buf, msg.Limits(command == abi::kMSG_INFO), msg.HighestIndex());
    case abi::kIPC_STAT: return Give(t, buf, TRY(msg.Stat(creds, id)));
    case abi::kMSG_STAT:
    case abi::kMSG_STAT_ANY: {
      abi::Msqid64Ds ds = TRY(msg.StatAt(creds, id, command == abi::kMSG_STAT_ANY, &found));
      return Give(t, buf, ds, found);
    }
    case abi::kIPC_SET:
      TRY(msg.Set(creds, id, TRY(t.mm().Read<abi::Msqid64Ds>(buf))));
      return uint64_t{0};
    case abi::kIPC_RMID:
      TRY(msg.Remove(creds, id));
      return uint64_t{0};
    default: return kEINVAL;
  }
}

constexpr SyscallRow kRows[] = {
    CALL_PARTIAL(shmget, SysShmget, "hex u64 hex", "SHM_HUGETLB: ENOSYS"),
    CALL(shmat, SysShmat, "int ptr hex"),
    CALL(shmdt, SysShmdt, "ptr"),
    CALL_PARTIAL(shmctl, SysShmctl, "int int ptr", "SHM_LOCK is remembered, pages are not pinned"),
    CALL(semget, SysSemget, "hex int hex"),
    CALL(semop, SysSemop, "int ptr uint"),
    CALL(semtimedop, SysSemtimedop, "int ptr uint timespec"),
    CALL(semctl, SysSemctl, "int int int hex"),
    CALL(msgget, SysMsgget, "hex hex"),
    CALL(msgsnd, SysMsgsnd, "int ptr u64 hex"),
    CALL(msgrcv, SysMsgrcv, "int ptr u64 int hex"),
    CALL(msgctl, SysMsgctl, "int int ptr"),
};

}  // namespace

const SyscallFamily kIpcCalls = {"System V IPC", kRows};

}  // namespace moat
