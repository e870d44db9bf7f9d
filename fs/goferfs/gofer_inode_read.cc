// What changes nothing: walking, attributes, links, opening.
#include "abi/fcntl.h"
#include "abi/stat.h"
#include "base/host/file.h"
#include "base/host/time.h"
#include "fs/goferfs/gofer_call.h"
#include "fs/goferfs/gofer_dir_file.h"
#include "fs/goferfs/gofer_file.h"
#include "fs/vfs/special.h"

namespace moat {

namespace {
// Asked for by every permission check, exec and `ls -l`.
bool IsCachedXattr(std::string_view name) {
  return name == gofer::kXattrAclAccess || name == gofer::kXattrAclDefault || name == gofer::kXattrFileCapabilities;
}
}  // namespace

ErrorOr<GoferInode::WalkResult> GoferInode::WalkTrip(std::span<const std::string_view> names) {
  WalkResult result;
  if (names.size() > gofer::kMaxWalkNames) names = names.first(gofer::kMaxWalkNames);
  auto reply = TRY(CallInDirectory(gofer::Op::kWalk, [&](gofer::Writer& w, Handle handle) {
    w.Put(gofer::WalkRequest{handle, static_cast<uint16_t>(names.size()), gofer::kWalkHandles | gofer::kWalkOpenLast});
    for (std::string_view name : names) w.PutString(name);
  }));
  auto body = reply.body();
  TRY(TakeComponents(body, names, std::move(reply.fd()), result));
  return result;
}

ErrorOr<void> GoferInode::TakeComponents(gofer::Reader& in, std::span<const std::string_view> names, UniqueFd fd,
                                         WalkResult& out) {
  auto walk = TRY(in.Get<gofer::WalkReply>());
  if (walk.count > names.size()) return kEPROTO;
  Ref<GoferInode> dir(this);
  for (uint16_t i = 0; i < walk.count; ++i) {
    auto component = TRY(in.Get<gofer::WalkComponent>());
    Ref<GoferInode> inode = gofer_fs().InodeFor(component.attr);
    inode->SetPlace(dir, names[i]);
    if (component.handle != 0) inode->AdoptHandle(component.handle);
    out.found.push_back(inode);
    dir = std::move(inode);
  }
  if (walk.stop == static_cast<uint16_t>(gofer::WalkStop::kError)) out.error = Errno{walk.error};
  if (out.found.empty()) return {};
  GoferInode& last = *out.found.back();
  if (walk.stop == static_cast<uint16_t>(gofer::WalkStop::kSymlink)) {
    std::string target(TRY(in.GetString(gofer::kMaxTarget)));
    MutexLock lock(last.mu_);
    last.target_ = std::move(target);
  }
  if (fd.valid() && last.is_regular()) last.CacheReadFd(std::move(fd));
  return {};
}

ErrorOr<Ref<Inode>> GoferInode::Lookup(std::string_view name) {
  if (!is_dir()) return kENOTDIR;
  if (hidden_) return kENOENT;
  GoferFs& fs = gofer_fs();
  if (auto known = fs.names().Find(serial_, name)) {
    bool fresh = Fresh(known->time_ns);
    if (!fresh || !known->negative) fs.names().Erase(serial_, name);  // found names go to the dentry cache
    if (fresh) {
      if (known->negative) return kENOENT;
      if (!known->inode) {
        known->inode = fs.InodeFor(known->attr);
        known->inode->SetPlace(Ref<GoferInode>(this), name);
      }
      return Ref<Inode>(known->inode);
    }
  }
  std::string_view one[] = {name};
  auto walked = TRY(WalkTrip(one));
  if (!walked.found.empty()) return Ref<Inode>(walked.found[0]);
  if (walked.error == kENOENT) {
    fs.names().Put(serial_, name, {nullptr, true, {}, host::NowMonotonicNs()});
  }
  return walked.error != Errno{0} ? walked.error : kEPROTO;
}

// Passes what the cache knows already and asks for the rest in one trip. The answers wait in the cache for Lookup, or, for
// dentries that exist, in the stamps that StillValid looks at.
void GoferInode::WalkAhead(const std::vector<std::string_view>& names) {
  GoferFs& fs = gofer_fs();
  std::span<const std::string_view> rest(names);
  Ref<GoferInode> dir(this);
  while (!rest.empty()) {
    auto known = fs.names().Find(dir->serial_, rest.front());
    if (!known) break;
    if (!Fresh(known->time_ns) || (!known->negative && !known->inode)) break;
    if (known->negative || !known->inode->is_dir()) return;
    dir = known->inode;
    rest = rest.subspan(1);
  }
  if (rest.empty() || dir->hidden_) return;
  auto walked = dir->WalkTrip(rest);
  if (walked.ok()) dir->Remember(rest, *walked);
}

void GoferInode::Remember(std::span<const std::string_view> names, const WalkResult& walked) {
  NameCache& cache = gofer_fs().names();
  int64_t now = host::NowMonotonicNs();
  const GoferInode* dir = this;
  size_t i = 0;
  for (; i < walked.found.size(); ++i) {
    cache.Put(dir->serial_, names[i], {walked.found[i], false, {}, now});
    dir = walked.found[i].get();
  }
  if (walked.error == kENOENT && i < names.size()) cache.Put(dir->serial_, names[i], {nullptr, true, {}, now});
}

void GoferInode::WalkManyAhead(const std::vector<std::vector<std::string_view>>& walks) {
  auto reply = CallInDirectory(gofer::Op::kWalkMany, [&](gofer::Writer& w, Handle handle) {
    w.Put(gofer::BatchRequest{static_cast<uint32_t>(walks.size()), 0});
    for (const auto& names : walks) {
      w.Put(gofer::WalkRequest{handle, static_cast<uint16_t>(names.size()), gofer::kWalkHandles});
      for (std::string_view name : names) w.PutString(name);
    }
  });
  if (!reply.ok()) return;
  auto in = reply->body();
  auto head = in.Get<gofer::BatchRequest>();
  if (!head.ok() || head->count > walks.size()) return;
  for (uint32_t i = 0; i < head->count; ++i) {
    WalkResult walked;
    if (!TakeComponents(in, walks[i], UniqueFd(), walked).ok()) return;
    Remember(walks[i], walked);
  }
}

ErrorOr<void> GoferInode::StatThrough(HostFd& fd) {
  abi::Stat st = TRY(host::Fstat(fd.get()));
  MutexLock lock(mu_);
  attr_.size = static_cast<uint64_t>(st.st_size);
  attr_.blocks = static_cast<uint64_t>(st.st_blocks);
  attr_.mode = st.st_mode;
  attr_.nlink = static_cast<uint32_t>(st.st_nlink);
  // The owner stays what the gofer said: our user namespace does not know the host's ids.
  attr_.atime_sec = st.st_atim.tv_sec, attr_.atime_nsec = static_cast<uint32_t>(st.st_atim.tv_nsec);
  attr_.mtime_sec = st.st_mtim.tv_sec, attr_.mtime_nsec = static_cast<uint32_t>(st.st_mtim.tv_nsec);
  attr_.ctime_sec = st.st_ctim.tv_sec, attr_.ctime_nsec = static_cast<uint32_t>(st.st_ctim.tv_nsec);
  attr_time_ns_ = host::NowMonotonicNs();
  return {};
}

ErrorOr<Attr> GoferInode::GetAttr() {
  gofer::WireAttr cached;
  bool usable;
  {
    MutexLock lock(mu_);
    cached = attr_;
    usable = hidden_ || unreachable_ || Fresh(attr_time_ns_);
  }
  bool exact = gofer_fs().options().cache == GoferCache::kRevalidate;
  if (usable && !exact) return ToAttr(cached);
  // A descriptor of the very inode is asked without a trip.
  if (Ref<HostFd> fd = AnyFd(); fd && !hidden_ && StatThrough(*fd).ok()) {
    MutexLock lock(mu_);
    cached = attr_;
    usable = true;
  }
  if (usable) return ToAttr(cached);
  auto reply = CallOnTarget(gofer::Op::kGetAttr, [](gofer::Writer& w, const gofer::Target& target) {
    w.Put(gofer::TargetRequest{target, 0, 0});
  });
  // It lost its name behind our back: the last that was known is the best there is.
  if (reply.error() == kESTALE) return ToAttr(cached);
  if (!reply.ok()) return reply.error();
  auto body = reply->body();
  auto now = TRY(body.Get<gofer::AttrReply>());
  Update(now.attr);
  return ToAttr(now.attr);
}

ErrorOr<GoferClient::Reply> GoferInode::StartListing(uint32_t max_bytes) {
  for (int i = 0;; ++i) {
    Address a = TRY(FindAddress());
    gofer::Writer w;
    w.Put(gofer::ReadDirRequest{a.target, max_bytes, a.name.empty() ? 0u : gofer::kReadDirHandle, 0});
    w.PutString(a.name);
    auto reply = gofer_fs().client().Call(gofer::Op::kReadDir, w);
    if (reply.error() == kENOENT && !a.name.empty()) return kESTALE;
    if ((reply.error() != kEBADF && reply.error() != kENFILE) || i + 1 == kHandleTries) return reply;
    if (reply.error() == kEBADF) a.owner->RenewHandle(a.target.handle);
    else TRY(gofer_fs().client().AwaitCloses());  // the limit of handles is reached, perhaps by what we are done with
  }
}

ErrorOr<std::string> GoferInode::ReadLink() {
  if (!is_symlink()) return kEINVAL;
  {
    MutexLock lock(mu_);
    // A symlink's target never changes: a new target is a new inode.
    if (target_) return *target_;
  }
  auto reply = TRY(CallOnTarget(gofer::Op::kReadLink, [](gofer::Writer& w, const gofer::Target& target) {
    w.Put(gofer::TargetRequest{target, 0, 0});
  }));
  auto text = reply.body().rest();
  std::string target(reinterpret_cast<const char*>(text.data()), text.size());
  MutexLock lock(mu_);
  target_ = target;
  return target;
}

ErrorOr<Ref<HostFd>> GoferInode::OpenHostFd(uint32_t flags) {
  if (HostFds::full()) return kENFILE;  // a descriptor that finds no room would break the connection
  auto reply = TRY(CallOnTarget(gofer::Op::kOpen, [flags](gofer::Writer& w, const gofer::Target& target) {
    w.Put(gofer::OpenRequest{target, flags, 0});
  }));
  if (!reply.fd().valid()) return kEPROTO;
  return MakeRef<HostFd>(std::move(reply.fd()));
}

ErrorOr<Ref<HostFd>> GoferInode::ReadFd() {
  {
    MutexLock lock(mu_);
    if (read_fd_) return read_fd_;
  }
  Ref<HostFd> fd = TRY(OpenHostFd(abi::kO_RDONLY));
  {
    MutexLock lock(mu_);
    if (!read_fd_) read_fd_ = fd;
  }
  gofer_fs().NoteCachedFd(*this);
  return fd;
}

ErrorOr<Ref<FileDescription>> GoferInode::Open(const Path& path, uint32_t flags) {
  switch (type()) {
    case abi::kS_IFDIR: return Ref<FileDescription>(GoferDirFile::Create(path, flags, Ref<GoferInode>(this)));
    case abi::kS_IFREG: break;
    case abi::kS_IFIFO: return OpenFifo(path, flags);
    case abi::kS_IFCHR: return OpenCharDevice(TRY(GetAttr()).rdev, path, flags);
    case abi::kS_IFLNK: return kELOOP;
    default: return kENXIO;
  }
  uint32_t host_flags = flags & (abi::kO_ACCMODE | abi::kO_DIRECT);
  Ref<HostFd> fd, created;
  {
    MutexLock lock(mu_);
    std::swap(created, created_fd_);
  }
  if (host_flags == abi::kO_RDONLY) {
    fd = TRY(ReadFd());
  } else if (!(flags & abi::kO_DIRECT)) {
    fd = std::move(created);
  }
  if (!fd) {
    auto opened = OpenHostFd(host_flags);
    // Append-only files (chattr +a) insist on the flag; otherwise RWF_APPEND does it, so that F_SETFL can change it.
    if (opened.error() == kEPERM && (flags & abi::kO_APPEND)) opened = OpenHostFd(host_flags | abi::kO_APPEND);
    if (!opened.ok()) return opened.error();
    fd = *opened;
  }
  return Ref<FileDescription>(GoferFile::Create(path, flags, Ref<GoferInode>(this), std::move(fd)));
}

ErrorOr<std::string> GoferInode::FetchXattr(std::string_view name) {
  if (hidden_ || !gofer::IsServedXattr(name) || (!is_dir() && !is_regular())) return kENODATA;
  auto reply = TRY(CallOnTarget(gofer::Op::kGetXattr,
                                [&](gofer::Writer& w, const gofer::Target& target, std::string_view own_name) {
                                  w.Put(gofer::XattrRequest{target, 0, 0});
                                  w.PutString(own_name);
                                  w.PutString(name);
                                }));
  auto value = reply.body().rest();
  return std::string(reinterpret_cast<const char*>(value.data()), value.size());
}

ErrorOr<std::string> GoferInode::GetXattr(std::string_view name) {
  if (name.size() > gofer::kMaxXattrName) return kERANGE;
  if (!IsCachedXattr(name)) return FetchXattr(name);
  TimeSpec ctime = TRY(GetAttr()).ctime;
  {
    MutexLock lock(mu_);
    if (!(xattrs_ctime_ == ctime)) xattrs_.clear();
    xattrs_ctime_ = ctime;
    for (const CachedXattr& x : xattrs_) {
      if (x.name == name) return x.error == Errno{0} ? ErrorOr<std::string>(x.value) : ErrorOr<std::string>(x.error);
    }
  }
  auto value = FetchXattr(name);
  // A gofer without privilege cannot look into what it may not read: then the mode bits decide.
  if (value.error() == kEACCES || value.error() == kEPERM) value = kENODATA;
  if (value.ok() || value.error() == kENODATA || value.error() == kEOPNOTSUPP) {
    MutexLock lock(mu_);
    xattrs_.push_back({std::string(name), value.ok() ? *value : std::string(), value.error()});
  }
  return value;
}

ErrorOr<std::string> GoferInode::ListXattr() {
  if (hidden_) return std::string();
  auto reply = TRY(CallOnTarget(gofer::Op::kListXattr, [](gofer::Writer& w, const gofer::Target& target) {
    w.Put(gofer::TargetRequest{target, 0, 0});
  }));
  auto list = reply.body().rest();
  return std::string(reinterpret_cast<const char*>(list.data()), list.size());
}

}  // namespace moat
