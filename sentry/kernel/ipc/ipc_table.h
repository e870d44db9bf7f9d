// What the three kinds of System V objects share: identifiers, keys, owners and permissions (sysvipc(7), ipc/util.c's role).
//
// Lock order: an IpcTable's mutex and an object's mutex are never held together; both are leaves but for wait queues.
#pragma once

#include <cstdint>
#include <map>
#include <vector>

#include "abi/ipc.h"
#include "base/kern/credentials.h"
#include "base/sync/mutex.h"
#include "base/util/error.h"
#include "base/util/ref.h"

namespace moat {

// CLOCK_REALTIME in seconds, as *_ctime.
int64_t IpcNow();

class IpcObject : public RefCounted {
 public:
  const int32_t key;
  int id() const { return id_; }

  mutable Mutex mu;
  abi::Ipc64Perm perm MOAT_GUARDED_BY(mu);
  int64_t ctime MOAT_GUARDED_BY(mu);
  bool removed MOAT_GUARDED_BY(mu) = false;  // IPC_RMID: whoever still waits on it gets kEIDRM

  // ipcperms(): `mode` is 0400 to read, 0200 to write, or both. kEACCES; CAP_IPC_OWNER overrides.
  ErrorOr<void> Check(const Credentials& creds, int mode) const MOAT_REQUIRES(mu);
  // IPC_SET and IPC_RMID are the owner's, the creator's and CAP_SYS_ADMIN's: kEPERM.
  ErrorOr<void> CheckOwner(const Credentials& creds) const MOAT_REQUIRES(mu);
  // IPC_SET's half that is the same for all: owner and permission bits. kEINVAL for ids that are no ids.
  ErrorOr<void> SetPerm(const Credentials& creds, const abi::Ipc64Perm& from) MOAT_REQUIRES(mu);

 protected:
  IpcObject(int32_t key, int mode, const Credentials& creds);

 private:
  template <class T>
  friend class IpcTable;
  int id_ = -1;  // set before it is published
};

// The objects of one kind. Identifiers are (sequence << 15 | index): an index is used again as late as possible, with another
// sequence number, so that a stale identifier means nothing.
template <class T>
class IpcTable {
 public:
  explicit IpcTable(size_t limit) : limit_(limit) {}

  // shmget(2) and its kin. `make()` gives the new object (ErrorOr<Ref<T>>; called without the lock), `fits(T&)` says
  // whether an existing one meets the request (kEINVAL). kENOENT, kEEXIST, kEACCES, kENOSPC.
  template <class Make, class Fits>
  ErrorOr<int> Get(const Credentials& creds, int32_t key, int flags, Make&& make, Fits&& fits) {
    if (key != abi::kIPC_PRIVATE) {
      Ref<T> found = FindKey(key);
      if (!found && !(flags & abi::kIPC_CREAT)) return kENOENT;
      if (found) return UseExisting(creds, *found, flags, fits);
    }
    Ref<T> made = TRY(make());
    Ref<T> winner;
    {
      MutexLock lock(mu_);
      winner = key == abi::kIPC_PRIVATE ? Ref<T>() : FindKeyLocked(key);
      if (!winner) return AddLocked(std::move(made));
    }
    return UseExisting(creds, *winner, flags, fits);
  }

  // kEINVAL for an identifier of nothing, or of something removed whose index has another owner now.
  ErrorOr<Ref<T>> Find(int id) const {
    if (id < 0) return kEINVAL;
    MutexLock lock(mu_);
    auto it = objects_.find(id & kIndexMask);
    if (it == objects_.end() || it->second->id() != id) return kEINVAL;
    return it->second;
  }
  // By index, for *_STAT.
  ErrorOr<Ref<T>> At(int index) const {
    if (index < 0) return kEINVAL;
    MutexLock lock(mu_);
    auto it = objects_.find(index & kIndexMask);
    if (it == objects_.end()) return kEINVAL;
    return it->second;
  }
  // The key finds it no more; the identifier still does (a shared memory segment that waits for its last detach).
  void ForgetKey(T& object) {
    MutexLock lock(mu_);
    ForgetKeyLocked(object);
  }
  void Remove(T& object) {
    Ref<T> keep;
    MutexLock lock(mu_);
    ForgetKeyLocked(object);
    auto it = objects_.find(object.id() & kIndexMask);
    if (it == objects_.end() || it->second.get() != &object) return;
    keep = std::move(it->second);
    objects_.erase(it);
  }
  // In order of index.
  std::vector<Ref<T>> All() const {
    std::vector<Ref<T>> all;
    MutexLock lock(mu_);
    for (const auto& [index, object] : objects_) all.push_back(object);
    return all;
  }
  // The highest index in use, 0 if none: what the *_INFO commands return.
  int HighestIndex() const {
    MutexLock lock(mu_);
    return objects_.empty() ? 0 : objects_.rbegin()->first;
  }
  size_t size() const {
    MutexLock lock(mu_);
    return objects_.size();
  }

 private:
  static constexpr int kIndexBits = 15;  // IPCMNI_SHIFT
  static constexpr int kIndexMask = (1 << kIndexBits) - 1;
  static constexpr int kSequences = 1 << (31 - kIndexBits);

  template <class Fits>
  ErrorOr<int> UseExisting(const Credentials& creds, T& object, int flags, Fits&& fits) {
    if ((flags & abi::kIPC_CREAT) && (flags & abi::kIPC_EXCL)) return kEEXIST;
    MutexLock lock(object.mu);
    TRY(fits(object));
    int wanted = ((flags >> 6) | (flags >> 3) | flags) & 7;
    TRY(object.Check(creds, wanted << 6));
    return object.id();
  }
  Ref<T> FindKey(int32_t key) const {
    MutexLock lock(mu_);
    return FindKeyLocked(key);
  }
  Ref<T> FindKeyLocked(int32_t key) const MOAT_REQUIRES(mu_) {
    auto it = keys_.find(key);
    return it == keys_.end() ? Ref<T>() : Ref<T>(it->second);
  }
  void ForgetKeyLocked(T& object) MOAT_REQUIRES(mu_) {
    auto it = keys_.find(object.key);
    if (it != keys_.end() && it->second == &object) keys_.erase(it);
  }
  ErrorOr<int> AddLocked(Ref<T> object) MOAT_REQUIRES(mu_) {
    if (objects_.size() >= limit_) return kENOSPC;
    while (objects_.contains(next_)) Advance();
    object->id_ = sequence_ << kIndexBits | next_;
    if (object->key != abi::kIPC_PRIVATE) keys_[object->key] = object.get();
    int id = object->id_;
    objects_[next_] = std::move(object);
    Advance();
    return id;
  }
  void Advance() MOAT_REQUIRES(mu_) {
    if (++next_ < static_cast<int>(limit_)) return;
    next_ = 0;
    sequence_ = (sequence_ + 1) % kSequences;
  }

  const size_t limit_;  // at most 1 << kIndexBits
  mutable Mutex mu_;
  std::map<int, Ref<T>> objects_ MOAT_GUARDED_BY(mu_);  // by index
  std::map<int32_t, T*> keys_ MOAT_GUARDED_BY(mu_);
  int next_ MOAT_GUARDED_BY(mu_) = 0;
  int sequence_ MOAT_GUARDED_BY(mu_) = 0;
};

}  // namespace moat
