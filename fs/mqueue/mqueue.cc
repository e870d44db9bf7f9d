#include "fs/mqueue/mqueue.h"

#include <algorithm>
#include <cstdio>
#include <utility>

#include "abi/capability.h"
#include "abi/fcntl.h"
#include "abi/poll.h"
#include "base/kern/held.h"
#include "fs/vfs/anon.h"

namespace moat {

namespace {

constexpr size_t kMaxName = 255;
constexpr uint32_t kMayRead = 4, kMayWrite = 2;
// What RLIMIT_MSGQUEUE counts for a message besides its text (getrlimit(2)): struct msg_msg and posix_msg_tree_node.
constexpr uint64_t kPerMessage = 48 + 48;

// As a lookup of one component in the root of the mqueue file system.
ErrorOr<void> CheckName(std::string_view name) {
  if (name.empty()) return kENOENT;
  if (name.size() > kMaxName) return kENAMETOOLONG;
  if (name == "." || name == ".." || name.find('/') != name.npos) return kEACCES;
  return {};
}

}  // namespace

Mqueue::Mqueue(MqueueFs& fs, const Credentials& creds, uint32_t mode, uint32_t max_messages, uint32_t max_size)
    : uid(creds.fsuid), gid(creds.fsgid), mode(mode), max_messages(max_messages), max_size(max_size), fs_(fs) {}

Mqueue::~Mqueue() { fs_.Uncharge(uid, charge()); }

uint64_t Mqueue::charge() const { return uint64_t{max_messages} * (kPerMessage + max_size); }

ErrorOr<void> Mqueue::TrySend(std::string& text, uint32_t priority, int pid, uint32_t sender_uid) {
  MqNotification due;
  {
    MutexLock lock(mu_);
    if (text.size() > max_size) return kEMSGSIZE;
    if (count_ >= max_messages) return kEAGAIN;
    bytes_ += text.size();
    messages_[priority].push_back(std::move(text));
    if (++count_ == 1 && registered_ && sleeping_receivers_ == 0) {
      registered_ = false;
      due = std::exchange(notification_, {});
    }
  }
  receivers.Wake(abi::kPOLLIN);
  events.Wake(abi::kPOLLIN | abi::kPOLLRDNORM);
  if (due.notify) due.notify(pid, sender_uid);
  return {};
}

ErrorOr<std::string> Mqueue::TryReceive(uint64_t size, uint32_t* priority) {
  std::string text;
  {
    MutexLock lock(mu_);
    if (size < max_size) return kEMSGSIZE;
    if (count_ == 0) return kEAGAIN;
    auto highest = messages_.begin();
    *priority = highest->first;
    text = std::move(highest->second.front());
    highest->second.pop_front();
    if (highest->second.empty()) messages_.erase(highest);
    --count_;
    bytes_ -= text.size();
  }
  senders.Wake(abi::kPOLLOUT);
  events.Wake(abi::kPOLLOUT | abi::kPOLLWRNORM);
  return text;
}

void Mqueue::CountReceiver(int change) {
  MutexLock lock(mu_);
  sleeping_receivers_ += change;
}

ErrorOr<void> Mqueue::Register(MqNotification notification) {
  MutexLock lock(mu_);
  if (registered_) return kEBUSY;
  registered_ = true;
  notification_ = std::move(notification);
  return {};
}

void Mqueue::UnregisterProcess(int pid) {
  MqNotification old;
  MutexLock lock(mu_);
  if (!registered_ || notification_.pid != pid) return;
  registered_ = false;
  old = std::exchange(notification_, {});
}

void Mqueue::UnregisterOwner(const void* owner) {
  MqNotification old;
  MutexLock lock(mu_);
  if (!registered_ || notification_.owner != owner) return;
  registered_ = false;
  old = std::exchange(notification_, {});
}

int64_t Mqueue::CurrentMessages() {
  MutexLock lock(mu_);
  return count_;
}

EventMask Mqueue::Readiness() {
  MutexLock lock(mu_);
  return (count_ > 0 ? abi::kPOLLIN | abi::kPOLLRDNORM : 0) | (count_ < max_messages ? abi::kPOLLOUT | abi::kPOLLWRNORM : 0);
}

std::string Mqueue::Status() {
  MutexLock lock(mu_);
  bool by_signal = registered_ && notification_.kind == 0;
  char text[128];
  snprintf(text, sizeof text, "QSIZE:%-10llu NOTIFY:%-5d SIGNO:%-5d NOTIFY_PID:%-6d\n",
           static_cast<unsigned long long>(bytes_), registered_ ? notification_.kind : 0,
           by_signal ? notification_.signo : 0, registered_ ? notification_.pid : 0);
  return text;
}

ErrorOr<void> Mqueue::Check(const Credentials& creds, uint32_t mask) const {
  uint32_t granted = mode;
  if (creds.fsuid == uid) {
    granted >>= 6;
  } else if (creds.InGroup(gid)) {
    granted >>= 3;
  }
  if ((mask & ~granted & 7) == 0 || creds.Has(abi::kCAP_DAC_OVERRIDE)) return {};
  if (mask == kMayRead && creds.Has(abi::kCAP_DAC_READ_SEARCH)) return {};
  return kEACCES;
}

MqueueFile::MqueueFile(Ref<Mqueue> queue, std::string_view name, uint32_t flags)
    : FileDescription(MakeAnonPath("/" + std::string(name), 0, queue->uid, queue->gid), flags), queue_(std::move(queue)) {}

Ref<MqueueFile> MqueueFile::Create(Ref<Mqueue> queue, std::string_view name, uint32_t flags) {
  return Ref<MqueueFile>(new MqueueFile(std::move(queue), name, flags), AdoptRef{});
}

ErrorOr<size_t> MqueueFile::TryRead(IoSink& dst, int64_t* offset, IoFlags) {
  std::string text = queue_->Status();
  if (!offset || *offset < 0 || static_cast<uint64_t>(*offset) >= text.size()) return size_t{0};
  std::string_view rest = std::string_view(text).substr(static_cast<size_t>(*offset));
  rest = rest.substr(0, std::min(rest.size(), dst.remaining()));
  size_t n = TRY(dst.Put(std::as_bytes(std::span(rest))));
  *offset += static_cast<int64_t>(n);
  return n;
}

ErrorOr<void> MqueueFile::Flush(const void* owner) {
  queue_->UnregisterOwner(owner);
  return {};
}

ErrorOr<Ref<Mqueue>> MqueueFs::MakeLocked(const Credentials& creds, uint32_t mode, const abi::MqAttr* attr, uint64_t limit) {
  bool privileged = creds.Has(abi::kCAP_SYS_RESOURCE);
  if (queues_.size() >= kMaxQueues || (queues_.size() >= abi::kDFLT_QUEUESMAX && !privileged)) return kENOSPC;
  int64_t messages = attr ? attr->mq_maxmsg : abi::kDFLT_MSG;
  int64_t size = attr ? attr->mq_msgsize : abi::kDFLT_MSGSIZE;
  if (messages <= 0 || size <= 0) return kEINVAL;
  if (messages > (privileged ? abi::kHARD_MSGMAX : abi::kDFLT_MSGMAX)) return kEINVAL;
  if (size > (privileged ? abi::kHARD_MSGSIZEMAX : abi::kDFLT_MSGSIZEMAX)) return kEINVAL;
  uint64_t bytes = static_cast<uint64_t>(messages) * (kPerMessage + static_cast<uint64_t>(size));
  {
    MutexLock lock(charge_mu_);
    uint64_t& of_user = charged_[creds.fsuid];
    if (bytes > limit || of_user > limit - bytes || charged_in_all_ + bytes > kMaxHeld || HeldMemory::full()) {
      if (of_user == 0) charged_.erase(creds.fsuid);
      return kEMFILE;
    }
    of_user += bytes;
    charged_in_all_ += bytes;
    HeldMemory::TakeAlways(bytes);
  }
  return Ref<Mqueue>(new Mqueue(*this, creds, mode, static_cast<uint32_t>(messages), static_cast<uint32_t>(size)), AdoptRef{});
}

void MqueueFs::Uncharge(uint32_t uid, uint64_t bytes) {
  MutexLock lock(charge_mu_);
  auto it = charged_.find(uid);
  charged_in_all_ -= bytes;
  HeldMemory::Give(bytes);
  if ((it->second -= bytes) == 0) charged_.erase(it);
}

ErrorOr<Ref<MqueueFile>> MqueueFs::Open(const Credentials& creds, std::string_view name, uint32_t flags, uint32_t mode,
                                        const abi::MqAttr* attr, uint64_t limit) {
  TRY(CheckName(name));
  Ref<Mqueue> queue;
  {
    MutexLock lock(mu_);
    auto it = queues_.find(name);
    if (it == queues_.end()) {
      if (!(flags & abi::kO_CREAT)) return kENOENT;
      queue = TRY(MakeLocked(creds, mode & 07777, attr, limit));
      queues_.emplace(name, queue);
    } else {
      if ((flags & abi::kO_CREAT) && (flags & abi::kO_EXCL)) return kEEXIST;
      uint32_t access = flags & abi::kO_ACCMODE;
      if (access == abi::kO_ACCMODE) return kEINVAL;
      uint32_t mask = access == abi::kO_RDONLY ? kMayRead : access == abi::kO_WRONLY ? kMayWrite : kMayRead | kMayWrite;
      TRY(it->second->Check(creds, mask));
      queue = it->second;
    }
  }
  return MqueueFile::Create(std::move(queue), name, flags & (abi::kO_ACCMODE | abi::kO_NONBLOCK));
}

ErrorOr<void> MqueueFs::Unlink(const Credentials& creds, std::string_view name) {
  TRY(CheckName(name));
  Ref<Mqueue> gone;
  MutexLock lock(mu_);
  auto it = queues_.find(name);
  if (it == queues_.end()) return kENOENT;
  if (it->second->uid != creds.fsuid && creds.fsuid != 0 && !creds.Has(abi::kCAP_FOWNER)) return kEPERM;
  gone = std::move(it->second);
  queues_.erase(it);
  return {};
}

}  // namespace moat
