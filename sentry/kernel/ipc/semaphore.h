// System V semaphores: sets, operations that happen together or not at all, undo at exit (semget(2), semop(2), semctl(2)).
//
// A semop that cannot proceed is queued; whoever changes the set carries out the queued ones that have become possible, in
// the order they came, on behalf of their sleepers. So nobody can overtake a sleeper whose operations would fit.
#pragma once

#include <atomic>
#include <cstdint>
#include <list>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "base/kern/wait_queue.h"
#include "sentry/kernel/ipc/ipc_table.h"

namespace moat {

class SemaphoreSet;
class SemaphoreSets;

// What a process (or the tasks that share it by CLONE_SYSVSEM) undoes when its last task ends: the destructor does it.
class SemUndoList final : public RefCounted {
 public:
  SemUndoList(SemaphoreSets& sets, int pid) : pid(pid), sets_(sets) {}
  const int pid;  // leaves its mark (GETPID) on what it undoes

 private:
  friend class SemaphoreSets;
  ~SemUndoList() override;

  SemaphoreSets& sets_;
  Mutex mu_;
  std::set<int> ids_ MOAT_GUARDED_BY(mu_);  // of sets that hold adjustments for it
};

// One semop: what to do, and where its caller sleeps.
class SemOperation {
 public:
  SemOperation(std::vector<abi::Sembuf> ops, int pid, Ref<SemUndoList> undo)
      : ops_(std::move(ops)), pid_(pid), undo_(std::move(undo)) {}
  WaitQueue& queue() { return queue_; }

 private:
  friend class SemaphoreSet;
  friend class SemaphoreSets;
  const std::vector<abi::Sembuf> ops_;
  const int pid_;
  const Ref<SemUndoList> undo_;  // or null: no operation has SEM_UNDO
  WaitQueue queue_;
  // Guarded by the set's mutex.
  size_t blocked_at_ = 0;  // the operation that could not be done
  bool done_ = false;
  Errno result_{0};
};

class SemaphoreSet final : public IpcObject {
 public:
  SemaphoreSet(SemaphoreSets& owner, int32_t key, int mode, const Credentials& creds, size_t count);
  ~SemaphoreSet() override;

  const size_t count;

 private:
  friend class SemaphoreSets;
  struct Semaphore {
    int value = 0;
    int pid = 0;
  };
  using Adjustments = std::map<uint16_t, int16_t>;
  enum class Attempt { kDone, kBlocked, kFailed };

  Attempt TryLocked(SemOperation& op, Errno* error, bool* changed) MOAT_REQUIRES(mu);
  bool UndoFitsLocked(const SemOperation& op) MOAT_REQUIRES(mu);
  void RecordUndoLocked(const SemOperation& op) MOAT_REQUIRES(mu);
  void FinishLocked(SemOperation& op, Errno result) MOAT_REQUIRES(mu);
  void WakeLocked() MOAT_REQUIRES(mu);
  void RemoveLocked() MOAT_REQUIRES(mu);
  int CountWaitersLocked(uint16_t index, bool for_zero) const MOAT_REQUIRES(mu);
  abi::Semid64Ds DescribeLocked() const MOAT_REQUIRES(mu);

  SemaphoreSets& owner_;
  std::vector<Semaphore> sems_ MOAT_GUARDED_BY(mu);
  std::list<SemOperation*> pending_ MOAT_GUARDED_BY(mu);
  std::map<SemUndoList*, Adjustments> undo_ MOAT_GUARDED_BY(mu);
  int64_t otime_ MOAT_GUARDED_BY(mu) = 0;
};

class SemaphoreSets {
 public:
  // Bounds on what a guest can make the sentry hold: semaphores of all sets (Linux's SEMMNS is a thousand times more), and
  // entries of undo lists.
  static constexpr size_t kMaxSemaphores = 1 << 20;
  static constexpr size_t kMaxUndo = 1 << 18;

  // semget(2).
  ErrorOr<int> Get(const Credentials& creds, int32_t key, int count, int flags);

  // semop(2). Carries `op` out, or queues it: kEAGAIN with *queued set; then the caller sleeps on op.queue() until Finished,
  // or gives up with Cancel. kE2BIG is the caller's. kEINVAL, kEFBIG, kEACCES, kERANGE, kENOMEM; kEAGAIN for IPC_NOWAIT.
  ErrorOr<void> Begin(const Credentials& creds, int id, SemOperation& op, Ref<SemaphoreSet>* queued);
  // True if it was carried out or failed (kEIDRM): then *result says how.
  static bool Finished(SemaphoreSet& set, SemOperation& op, Errno* result);
  // Takes it off the queue; false if it was finished before (ask Finished).
  static bool Cancel(SemaphoreSet& set, SemOperation& op);

  // semctl(2)'s commands. kEINVAL, kEACCES, kEPERM, kERANGE.
  ErrorOr<int> GetOne(const Credentials& creds, int id, int index, int command);  // GETVAL, GETPID, GETNCNT, GETZCNT
  ErrorOr<std::vector<uint16_t>> GetAll(const Credentials& creds, int id);
  ErrorOr<void> SetOne(const Credentials& creds, int id, int index, int value, int pid);
  // `read` gives the new values of `n` semaphores (or its error); called without locks.
  template <class Read>
  ErrorOr<void> SetAll(const Credentials& creds, int id, int pid, Read&& read) {
    size_t n = TRY(CountForSetAll(creds, id));
    std::vector<uint16_t> values = TRY(read(n));
    return SetAllValues(creds, id, values, pid);
  }
  ErrorOr<abi::Semid64Ds> Stat(const Credentials& creds, int id);
  ErrorOr<abi::Semid64Ds> StatAt(const Credentials& creds, int index, bool any, int* id);
  ErrorOr<void> Set(const Credentials& creds, int id, const abi::Semid64Ds& from);
  ErrorOr<void> Remove(const Credentials& creds, int id);
  abi::Seminfo Limits(bool usage) const;  // IPC_INFO; `usage`: SEM_INFO
  int HighestIndex() const { return table_.HighestIndex(); }

  // /proc/sysvipc/sem without its header line.
  std::string Format() const;

 private:
  friend class SemUndoList;
  friend class SemaphoreSet;
  void Undo(SemUndoList& list);
  ErrorOr<size_t> CountForSetAll(const Credentials& creds, int id);
  ErrorOr<void> SetAllValues(const Credentials& creds, int id, const std::vector<uint16_t>& values, int pid);

  std::atomic<size_t> semaphores_{0};
  std::atomic<size_t> undo_entries_{0};  // see kMaxUndo
  IpcTable<SemaphoreSet> table_{abi::kSEMMNI};
};

}  // namespace moat
