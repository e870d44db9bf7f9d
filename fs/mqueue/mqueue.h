// POSIX message queues (mq_overview(7)): named queues, and the open files that refer to them.
//
// Lock order: MqueueFs's mutex > a queue's mutex; both are leaves but for wait queues.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <string>
#include <string_view>

#include "abi/mqueue.h"
#include "base/kern/credentials.h"
#include "base/kern/wait_queue.h"
#include "base/sync/mutex.h"
#include "base/util/error.h"
#include "base/util/ref.h"
#include "fs/vfs/file_description.h"

namespace moat {

class MqueueFs;

// Who is told of a message in an empty queue (mq_notify(3)). `notify` gets the sender's pid and real uid; it is called once,
// without locks. Null: SIGEV_NONE, the registration only keeps others out.
struct MqNotification {
  int pid = 0;                  // of the registered process, for itself and for read(2) of the queue
  int kind = 0, signo = 0;      // SIGEV_*
  const void* owner = nullptr;  // the fd table whose close ends the registration
  std::function<void(int sender_pid, uint32_t sender_uid)> notify{};
};

class Mqueue final : public RefCounted {
 public:
  const uint32_t uid, gid, mode;
  const uint32_t max_messages, max_size;

  // Takes `text` on success. kEAGAIN while it is full: wait on `senders`; kEMSGSIZE.
  ErrorOr<void> TrySend(std::string& text, uint32_t priority, int pid, uint32_t uid);
  // The oldest of the highest priority, into a buffer of `size` bytes. kEAGAIN while empty: wait on `receivers`; kEMSGSIZE.
  ErrorOr<std::string> TryReceive(uint64_t size, uint32_t* priority);
  // A receiver that sleeps keeps the notification from being used: `change` is +1 around its wait, then -1.
  void CountReceiver(int change);

  ErrorOr<void> Register(MqNotification notification);  // kEBUSY
  // Ends the registration of this process, or that fd table.
  void UnregisterProcess(int pid);
  void UnregisterOwner(const void* owner);

  int64_t CurrentMessages();
  EventMask Readiness();
  // What read(2) of its file shows.
  std::string Status();
  // May `creds` read (4), write (2)? kEACCES.
  ErrorOr<void> Check(const Credentials& creds, uint32_t mask) const;

  WaitQueue senders, receivers;
  WaitQueue events;  // poll(2)

 private:
  friend class MqueueFs;
  Mqueue(MqueueFs& fs, const Credentials& creds, uint32_t mode, uint32_t max_messages, uint32_t max_size);
  ~Mqueue() override;
  uint64_t charge() const;

  MqueueFs& fs_;
  Mutex mu_;
  // Highest priority first.
  std::map<uint32_t, std::deque<std::string>, std::greater<>> messages_ MOAT_GUARDED_BY(mu_);
  uint32_t count_ MOAT_GUARDED_BY(mu_) = 0;
  uint64_t bytes_ MOAT_GUARDED_BY(mu_) = 0;
  int sleeping_receivers_ MOAT_GUARDED_BY(mu_) = 0;
  bool registered_ MOAT_GUARDED_BY(mu_) = false;
  MqNotification notification_ MOAT_GUARDED_BY(mu_);
};

class MqueueFile final : public FileDescription {
 public:
  static Ref<MqueueFile> Create(Ref<Mqueue> queue, std::string_view name, uint32_t flags);
  Mqueue& queue() const { return *queue_; }

  ErrorOr<size_t> TryRead(IoSink& dst, int64_t* offset, IoFlags flags) override;
  EventMask Readiness() override { return queue_->Readiness(); }
  WaitQueue* wait_queue() override { return &queue_->events; }
  bool pollable() const override { return true; }
  ErrorOr<void> Flush(const void* owner) override;

 private:
  MqueueFile(Ref<Mqueue> queue, std::string_view name, uint32_t flags);
  const Ref<Mqueue> queue_;
};

// The queues of an IPC namespace by name (without the leading slash).
class MqueueFs {
 public:
  // Queues at once, even for CAP_SYS_RESOURCE: bounds what a guest can make the sentry hold with kMaxHeld.
  static constexpr size_t kMaxQueues = 1024;
  static constexpr uint64_t kMaxHeld = 256 << 20;

  // mq_open(2). `attr` null: the defaults; `limit` is RLIMIT_MSGQUEUE. kEACCES, kEEXIST, kEINVAL, kEMFILE, kENAMETOOLONG,
  // kENOENT, kENOSPC.
  ErrorOr<Ref<MqueueFile>> Open(const Credentials& creds, std::string_view name, uint32_t flags, uint32_t mode,
                                const abi::MqAttr* attr, uint64_t limit);
  // mq_unlink(2). kEPERM for another's queue: the directory is sticky. kENOENT, kENAMETOOLONG.
  ErrorOr<void> Unlink(const Credentials& creds, std::string_view name);

 private:
  friend class Mqueue;
  ErrorOr<Ref<Mqueue>> MakeLocked(const Credentials& creds, uint32_t mode, const abi::MqAttr* attr, uint64_t limit)
      MOAT_REQUIRES(mu_);
  void Uncharge(uint32_t uid, uint64_t bytes);

  // What each user's queues may hold (RLIMIT_MSGQUEUE), unlinked ones included. Its own lock: queues die anywhere.
  Mutex charge_mu_;
  std::map<uint32_t, uint64_t> charged_ MOAT_GUARDED_BY(charge_mu_);
  uint64_t charged_in_all_ MOAT_GUARDED_BY(charge_mu_) = 0;
  // Last, so that it goes first: dying queues give back their charge.
  Mutex mu_;
  std::map<std::string, Ref<Mqueue>, std::less<>> queues_ MOAT_GUARDED_BY(mu_);
};

}  // namespace moat
