#include "sentry/kernel/ipc/shared_memory.h"

#include <cstdio>

#include "abi/capability.h"
#include "abi/fcntl.h"
#include "fs/tmpfs/memfd.h"
#include "fs/vfs/inode.h"

namespace moat {

namespace {

constexpr uint64_t kPage = 4096;

uint64_t PageUp(uint64_t n) { return (n + kPage - 1) & ~(kPage - 1); }

uint64_t ResidentBytes(const ShmSegment& segment) {
  ErrorOr<Attr> attr = segment.file->inode().GetAttr();
  constexpr uint64_t kBlock = 512;  // unit of st_blocks
  return attr.ok() ? attr->blocks * kBlock : 0;
}

}  // namespace

abi::Shmid64Ds ShmSegment::DescribeLocked() const {
  abi::Shmid64Ds ds{};
  ds.shm_perm = perm;
  ds.shm_perm.seq = static_cast<uint16_t>(id() >> 15);
  ds.shm_segsz = size;
  ds.shm_atime = attach_time.load(std::memory_order_relaxed);
  ds.shm_dtime = detach_time.load(std::memory_order_relaxed);
  ds.shm_ctime = ctime;
  ds.shm_cpid = creator;
  ds.shm_lpid = last_pid.load(std::memory_order_relaxed);
  ds.shm_nattch = static_cast<uint64_t>(mappings.load(std::memory_order_relaxed));
  return ds;
}

ShmAttachment::ShmAttachment(Ref<ShmSegment> segment, uint32_t flags)
    : FileDescription(segment->file->path(), flags), segment_(std::move(segment)) {}

ShmAttachment::~ShmAttachment() { segment_->owner_.Detached(*segment_); }

void ShmAttachment::OnMapped(int change) {
  segment_->mappings.fetch_add(change, std::memory_order_relaxed);
  (change > 0 ? segment_->attach_time : segment_->detach_time).store(IpcNow(), std::memory_order_relaxed);
}

void SharedSegments::Detached(ShmSegment& segment) {
  {
    MutexLock lock(segment.mu);
    if (--segment.attachments_ != 0 || !(segment.perm.mode & static_cast<uint32_t>(abi::kSHM_DEST))) return;
    segment.removed = true;
  }
  table_.Remove(segment);
}

ErrorOr<int> SharedSegments::Get(const Credentials& creds, int32_t key, uint64_t size, int flags, int pid) {
  auto make = [&]() -> ErrorOr<Ref<ShmSegment>> {
    if (size < abi::kSHMMIN || size > abi::kSHMMAX || size > INT64_MAX - kPage) return kEINVAL;
    if (flags & abi::kSHM_HUGETLB) return kENOSYS;
    char name[32];
    snprintf(name, sizeof name, "/SYSV%08x (deleted)", static_cast<uint32_t>(key));
    Ref<FileDescription> file =
        TRY(MakeSharedMemory(name, PageUp(size), static_cast<uint32_t>(flags) & 0777, creds.euid, creds.egid));
    return MakeRef<ShmSegment>(*this, key, flags, creds, size, pid, std::move(file));
  };
  auto fits = [&](ShmSegment& found) -> ErrorOr<void> {
    if (size > found.size) return kEINVAL;
    return {};
  };
  return table_.Get(creds, key, flags, make, fits);
}

ErrorOr<Ref<ShmAttachment>> SharedSegments::Attach(const Credentials& creds, int id, int access, int pid) {
  Ref<ShmSegment> segment = TRY(table_.Find(id));
  MutexLock lock(segment->mu);
  if (segment->removed) return kEINVAL;
  TRY(segment->Check(creds, access));
  uint32_t flags = access & 0200 ? abi::kO_RDWR : abi::kO_RDONLY;
  ++segment->attachments_;
  segment->last_pid.store(pid, std::memory_order_relaxed);
  return Ref<ShmAttachment>(new ShmAttachment(segment, flags), AdoptRef{});
}

ErrorOr<abi::Shmid64Ds> SharedSegments::Stat(const Credentials& creds, int id) {
  Ref<ShmSegment> segment = TRY(table_.Find(id));
  MutexLock lock(segment->mu);
  TRY(segment->Check(creds, 0400));
  return segment->DescribeLocked();
}

ErrorOr<abi::Shmid64Ds> SharedSegments::StatAt(const Credentials& creds, int index, bool any, int* id) {
  Ref<ShmSegment> segment = TRY(table_.At(index));
  MutexLock lock(segment->mu);
  if (!any) TRY(segment->Check(creds, 0400));
  *id = segment->id();
  return segment->DescribeLocked();
}

ErrorOr<void> SharedSegments::Set(const Credentials& creds, int id, const abi::Shmid64Ds& from) {
  Ref<ShmSegment> segment = TRY(table_.Find(id));
  MutexLock lock(segment->mu);
  return segment->SetPerm(creds, from.shm_perm);
}

ErrorOr<void> SharedSegments::Remove(const Credentials& creds, int id) {
  Ref<ShmSegment> segment = TRY(table_.Find(id));
  {
    MutexLock lock(segment->mu);
    TRY(segment->CheckOwner(creds));
    segment->perm.mode |= static_cast<uint32_t>(abi::kSHM_DEST);
    segment->perm.key = abi::kIPC_PRIVATE;
    segment->removed = segment->attachments_ == 0;
    if (!segment->removed) segment->ctime = IpcNow();
  }
  // Between the lock's end and here the last detach may have removed it, which is what this wants.
  table_.ForgetKey(*segment);
  bool gone;
  {
    MutexLock lock(segment->mu);
    gone = segment->removed;
  }
  if (gone) table_.Remove(*segment);
  return {};
}

ErrorOr<void> SharedSegments::SetLocked(const Credentials& creds, int id, bool locked, bool may_lock) {
  Ref<ShmSegment> segment = TRY(table_.Find(id));
  MutexLock lock(segment->mu);
  if (!creds.Has(abi::kCAP_IPC_LOCK)) {
    if (creds.euid != segment->perm.uid && creds.euid != segment->perm.cuid) return kEPERM;
    if (locked && !may_lock) return kEPERM;
  }
  if (locked) {
    segment->perm.mode |= static_cast<uint32_t>(abi::kSHM_LOCKED);
  } else {
    segment->perm.mode &= ~static_cast<uint32_t>(abi::kSHM_LOCKED);
  }
  return {};
}

abi::Shminfo64 SharedSegments::Limits() const {
  abi::Shminfo64 info{};
  info.shmmax = abi::kSHMMAX;
  info.shmmin = abi::kSHMMIN;
  info.shmmni = info.shmseg = abi::kSHMMNI;
  info.shmall = abi::kSHMALL;
  return info;
}

abi::ShmInfo SharedSegments::Info() const {
  abi::ShmInfo info{};
  for (const Ref<ShmSegment>& segment : table_.All()) {
    ++info.used_ids;
    info.shm_tot += PageUp(segment->size) / kPage;
    info.shm_rss += ResidentBytes(*segment) / kPage;
  }
  return info;
}

std::string SharedSegments::Format() const {
  std::string text;
  for (const Ref<ShmSegment>& segment : table_.All()) {
    unsigned long long resident = ResidentBytes(*segment);
    MutexLock lock(segment->mu);
    const abi::Shmid64Ds ds = segment->DescribeLocked();
    char line[320];
    snprintf(line, sizeof line, "%10d %10d  %4o %21llu %5d %5d  %5llu %5u %5u %5u %5u %10lld %10lld %10lld %21llu %21d\n",
             ds.shm_perm.key, segment->id(), ds.shm_perm.mode, static_cast<unsigned long long>(ds.shm_segsz), ds.shm_cpid,
             ds.shm_lpid, static_cast<unsigned long long>(ds.shm_nattch), ds.shm_perm.uid, ds.shm_perm.gid,
             ds.shm_perm.cuid, ds.shm_perm.cgid, static_cast<long long>(ds.shm_atime),
             static_cast<long long>(ds.shm_dtime), static_cast<long long>(ds.shm_ctime), resident, 0);
    text += line;
  }
  return text;
}

}  // namespace moat
