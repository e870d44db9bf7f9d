// System V message queues (msgget(2), msgop(2), msgctl(2)).
#pragma once

#include <atomic>
#include <cstdint>
#include <list>
#include <string>

#include "base/kern/wait_queue.h"
#include "sentry/kernel/ipc/ipc_table.h"

namespace moat {

class MessageQueues;

struct SysvMessage {
  int64_t type = 0;
  std::string text;
};

class SysvQueue final : public IpcObject {
 public:
  SysvQueue(MessageQueues& owner, int32_t key, int mode, const Credentials& creds);
  ~SysvQueue() override;

  // msgsnd(2): kEAGAIN while there is no room (wait on `senders`), kEACCES, kEIDRM, kENOMEM. Takes `message` on success.
  ErrorOr<void> TrySend(const Credentials& creds, SysvMessage& message, int pid);
  // msgrcv(2) of at most `size` bytes: kEAGAIN while nothing matches (wait on `receivers`), kE2BIG, kEACCES, kEIDRM.
  // `flags`: MSG_NOERROR, MSG_EXCEPT, MSG_COPY (`type` is then an index, kENOMSG beyond the last).
  ErrorOr<SysvMessage> TryReceive(const Credentials& creds, uint64_t size, int64_t type, int flags, int pid);

  WaitQueue senders, receivers;

 private:
  friend class MessageQueues;
  using Messages = std::list<SysvMessage>;
  Messages::iterator MatchLocked(int64_t type, int flags) MOAT_REQUIRES(mu);
  abi::Msqid64Ds DescribeLocked() const MOAT_REQUIRES(mu);

  MessageQueues& owner_;
  Messages messages_ MOAT_GUARDED_BY(mu);
  uint64_t bytes_ MOAT_GUARDED_BY(mu) = 0;
  uint64_t max_bytes_ MOAT_GUARDED_BY(mu) = abi::kMSGMNB;
  int64_t send_time_ MOAT_GUARDED_BY(mu) = 0, receive_time_ MOAT_GUARDED_BY(mu) = 0;
  int last_sender_ MOAT_GUARDED_BY(mu) = 0, last_receiver_ MOAT_GUARDED_BY(mu) = 0;
};

class MessageQueues {
 public:
  // Bound on what all queues hold, text and bookkeeping: 64 MiB, as 4096 full queues of the default size.
  static constexpr uint64_t kMaxHeld = 64 << 20;

  ErrorOr<int> Get(const Credentials& creds, int32_t key, int flags);  // msgget(2)
  ErrorOr<Ref<SysvQueue>> Find(int id) { return table_.Find(id); }

  // msgctl(2)'s commands. kEINVAL, kEACCES, kEPERM.
  ErrorOr<abi::Msqid64Ds> Stat(const Credentials& creds, int id);
  ErrorOr<abi::Msqid64Ds> StatAt(const Credentials& creds, int index, bool any, int* id);
  ErrorOr<void> Set(const Credentials& creds, int id, const abi::Msqid64Ds& from);
  ErrorOr<void> Remove(const Credentials& creds, int id);
  abi::Msginfo Limits(bool usage) const;  // IPC_INFO; `usage`: MSG_INFO
  int HighestIndex() const { return table_.HighestIndex(); }

  // /proc/sysvipc/msg without its header line.
  std::string Format() const;

 private:
  friend class SysvQueue;
  std::atomic<uint64_t> held_{0};
  IpcTable<SysvQueue> table_{abi::kMSGMNI};
};

}  // namespace moat
