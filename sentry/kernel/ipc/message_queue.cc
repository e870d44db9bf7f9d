#include "sentry/kernel/ipc/message_queue.h"

#include <algorithm>
#include <cstdio>

#include "abi/capability.h"
#include "abi/poll.h"
#include "base/kern/held.h"

namespace moat {

namespace {

// What a message costs the sentry: an empty one is not free.
constexpr uint64_t kMessageOverhead = 96;

uint64_t Cost(const SysvMessage& m) { return m.text.size() + kMessageOverhead; }

}  // namespace

SysvQueue::SysvQueue(MessageQueues& owner, int32_t key, int mode, const Credentials& creds)
    : IpcObject(key, mode, creds), owner_(owner) {}

SysvQueue::~SysvQueue() {
  for (const SysvMessage& m : messages_) {
    owner_.held_.fetch_sub(Cost(m), std::memory_order_relaxed);
    HeldMemory::Give(Cost(m));
  }
}

ErrorOr<void> SysvQueue::TrySend(const Credentials& creds, SysvMessage& message, int pid) {
  uint64_t cost = Cost(message);
  {
    MutexLock lock(mu);
    if (removed) return kEIDRM;
    TRY(Check(creds, 0200));
    if (bytes_ + message.text.size() > max_bytes_ || messages_.size() + 1 > max_bytes_) return kEAGAIN;
    if (HeldMemory::full()) return kENOMEM;
    if (owner_.held_.fetch_add(cost, std::memory_order_relaxed) + cost > MessageQueues::kMaxHeld) {
      owner_.held_.fetch_sub(cost, std::memory_order_relaxed);
      return kENOMEM;
    }
    HeldMemory::TakeAlways(cost);
    bytes_ += message.text.size();
    messages_.push_back(std::move(message));
    last_sender_ = pid;
    send_time_ = IpcNow();
  }
  receivers.Wake(abi::kPOLLIN);
  return {};
}

SysvQueue::Messages::iterator SysvQueue::MatchLocked(int64_t type, int flags) {
  if (flags & abi::kMSG_COPY) {
    auto it = messages_.begin();
    for (int64_t i = 0; i < type && it != messages_.end(); ++i) ++it;
    return type < 0 ? messages_.end() : it;
  }
  if (type == 0) return messages_.begin();
  if (type > 0) {
    bool except = flags & abi::kMSG_EXCEPT;
    return std::find_if(messages_.begin(), messages_.end(), [&](const SysvMessage& m) { return (m.type == type) != except; });
  }
  // The lowest type up to the absolute value (of INT64_MIN: everything), the oldest of it.
  int64_t most = type == INT64_MIN ? INT64_MAX : -type;
  auto best = messages_.end();
  for (auto it = messages_.begin(); it != messages_.end(); ++it) {
    if (it->type <= most && (best == messages_.end() || it->type < best->type)) best = it;
  }
  return best;
}

ErrorOr<SysvMessage> SysvQueue::TryReceive(const Credentials& creds, uint64_t size, int64_t type, int flags, int pid) {
  SysvMessage taken;
  {
    MutexLock lock(mu);
    if (removed) return kEIDRM;
    TRY(Check(creds, 0400));
    auto it = MatchLocked(type, flags);
    if (it == messages_.end()) return flags & abi::kMSG_COPY ? kENOMSG : kEAGAIN;
    if (it->text.size() > size && !(flags & abi::kMSG_NOERROR)) return kE2BIG;
    if (flags & abi::kMSG_COPY) {
      taken = *it;
      taken.text.resize(std::min<uint64_t>(taken.text.size(), size));
      return taken;
    }
    bytes_ -= it->text.size();
    owner_.held_.fetch_sub(Cost(*it), std::memory_order_relaxed);
    HeldMemory::Give(Cost(*it));
    taken = std::move(*it);
    messages_.erase(it);
    last_receiver_ = pid;
    receive_time_ = IpcNow();
  }
  senders.Wake(abi::kPOLLOUT);
  taken.text.resize(std::min<uint64_t>(taken.text.size(), size));
  return taken;
}

abi::Msqid64Ds SysvQueue::DescribeLocked() const {
  abi::Msqid64Ds ds{};
  ds.msg_perm = perm;
  ds.msg_perm.seq = static_cast<uint16_t>(id() >> 15);
  ds.msg_stime = send_time_;
  ds.msg_rtime = receive_time_;
  ds.msg_ctime = ctime;
  ds.msg_cbytes = bytes_;
  ds.msg_qnum = messages_.size();
  ds.msg_qbytes = max_bytes_;
  ds.msg_lspid = last_sender_;
  ds.msg_lrpid = last_receiver_;
  return ds;
}

ErrorOr<int> MessageQueues::Get(const Credentials& creds, int32_t key, int flags) {
  auto make = [&]() -> ErrorOr<Ref<SysvQueue>> { return MakeRef<SysvQueue>(*this, key, flags, creds); };
  return table_.Get(creds, key, flags, make, [](SysvQueue&) -> ErrorOr<void> { return {}; });
}

ErrorOr<abi::Msqid64Ds> MessageQueues::Stat(const Credentials& creds, int id) {
  Ref<SysvQueue> queue = TRY(table_.Find(id));
  MutexLock lock(queue->mu);
  TRY(queue->Check(creds, 0400));
  return queue->DescribeLocked();
}

ErrorOr<abi::Msqid64Ds> MessageQueues::StatAt(const Credentials& creds, int index, bool any, int* id) {
  Ref<SysvQueue> queue = TRY(table_.At(index));
  MutexLock lock(queue->mu);
  if (!any) TRY(queue->Check(creds, 0400));
  *id = queue->id();
  return queue->DescribeLocked();
}

ErrorOr<void> MessageQueues::Set(const Credentials& creds, int id, const abi::Msqid64Ds& from) {
  Ref<SysvQueue> queue = TRY(table_.Find(id));
  {
    MutexLock lock(queue->mu);
    TRY(queue->CheckOwner(creds));
    if (from.msg_qbytes > static_cast<uint64_t>(abi::kMSGMNB) && !creds.Has(abi::kCAP_SYS_RESOURCE)) return kEPERM;
    TRY(queue->SetPerm(creds, from.msg_perm));
    queue->max_bytes_ = from.msg_qbytes;
  }
  // Waiters look again: the new mode may shut them out, the new size let them in.
  queue->senders.Wake(abi::kPOLLOUT);
  queue->receivers.Wake(abi::kPOLLIN);
  return {};
}

ErrorOr<void> MessageQueues::Remove(const Credentials& creds, int id) {
  Ref<SysvQueue> queue = TRY(table_.Find(id));
  {
    MutexLock lock(queue->mu);
    TRY(queue->CheckOwner(creds));
    if (queue->removed) return kEIDRM;
    queue->removed = true;
  }
  table_.Remove(*queue);
  queue->senders.Wake(abi::kPOLLHUP);
  queue->receivers.Wake(abi::kPOLLHUP);
  return {};
}

abi::Msginfo MessageQueues::Limits(bool usage) const {
  abi::Msginfo info{};
  info.msgmax = abi::kMSGMAX;
  info.msgmnb = abi::kMSGMNB;
  info.msgmni = abi::kMSGMNI;
  info.msgssz = abi::kMSGSSZ;
  info.msgseg = static_cast<uint16_t>(abi::kMSGSEG);
  info.msgpool = abi::kMSGPOOL;
  info.msgmap = abi::kMSGMAP;
  info.msgtql = abi::kMSGTQL;
  if (!usage) return info;
  info.msgpool = info.msgmap = info.msgtql = 0;
  for (const Ref<SysvQueue>& queue : table_.All()) {
    MutexLock lock(queue->mu);
    ++info.msgpool;
    info.msgmap += static_cast<int>(queue->messages_.size());
    info.msgtql += static_cast<int>(queue->bytes_);
  }
  return info;
}

std::string MessageQueues::Format() const {
  std::string text;
  for (const Ref<SysvQueue>& queue : table_.All()) {
    MutexLock lock(queue->mu);
    const abi::Msqid64Ds ds = queue->DescribeLocked();
    char line[256];
    snprintf(line, sizeof line, "%10d %10d  %4o  %10llu %10llu %5d %5d %5u %5u %5u %5u %10lld %10lld %10lld\n",
             ds.msg_perm.key, queue->id(), ds.msg_perm.mode, static_cast<unsigned long long>(ds.msg_cbytes),
             static_cast<unsigned long long>(ds.msg_qnum), ds.msg_lspid, ds.msg_lrpid, ds.msg_perm.uid, ds.msg_perm.gid,
             ds.msg_perm.cuid, ds.msg_perm.cgid, static_cast<long long>(ds.msg_stime), static_cast<long long>(ds.msg_rtime),
             static_cast<long long>(ds.msg_ctime));
    text += line;
  }
  return text;
}

}  // namespace moat
