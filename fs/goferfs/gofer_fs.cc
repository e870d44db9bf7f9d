#include "fs/goferfs/gofer_fs.h"

#include "fs/goferfs/gofer_call.h"

namespace moat {

namespace {
// What an id without a mapping looks like through a user namespace (fs.overflowuid).
constexpr uint32_t kOverflowId = 65534;
}  // namespace

GoferFs::GoferFs(Ref<GoferClient> client, uint32_t root_index, const GoferOptions& options)
    : client_(std::move(client)), root_index_(root_index), options_(options), names_(options.max_cached_names) {}

GoferFs::~GoferFs() = default;

ErrorOr<Ref<GoferFs>> GoferFs::Create(Ref<GoferClient> client, uint32_t root_index, const GoferOptions& options) {
  gofer::Writer w;
  w.Put(gofer::AttachRequest{gofer::kProtocolVersion, root_index});
  auto reply = TRY(client->Call(gofer::Op::kAttach, w));
  auto body = reply.body();
  auto attached = TRY(body.Get<gofer::AttachReply>());
  Ref<GoferFs> fs(new GoferFs(std::move(client), root_index, options), AdoptRef{});
  fs->read_only_ = attached.flags & gofer::kAttachReadOnly;
  fs->unmapped_ids_ = attached.flags & gofer::kAttachUnmappedIds;
  fs->root_dev_ = attached.attr.dev;
  // Other roots share the gofer's limit, and requests in flight hold a few more.
  fs->max_handles_ = attached.max_handles / 4;
  Ref<GoferInode> root = fs->InodeFor(attached.attr);
  root->AdoptHandle(attached.handle);
  MutexLock lock(fs->mu_);
  fs->root_ = std::move(root);
  return fs;
}

Ref<Inode> GoferFs::root() {
  MutexLock lock(mu_);
  return root_;
}

void GoferFs::Unmounted() {
  names_.Clear();
  Ref<GoferInode> root;  // goes after the lock
  MutexLock lock(mu_);
  std::swap(root, root_);
}

void GoferFs::Prefetch(const std::vector<std::string>& paths) {
  Ref<GoferInode> top;
  {
    MutexLock lock(mu_);
    top = root_;
  }
  std::vector<std::vector<std::string_view>> walks;
  for (std::string_view path : paths) {
    std::vector<std::string_view> names;
    while (!path.empty() && names.size() < gofer::kMaxWalkNames) {
      std::string_view name = path.substr(0, path.find('/'));
      path.remove_prefix(std::min(path.size(), name.size() + 1));
      if (name == "..") break;  // leads out, or through a mount that is not there yet
      if (!name.empty() && name != "." && gofer::CheckName(name).ok()) names.push_back(name);
    }
    if (!names.empty() && walks.size() < gofer::kMaxBatchTargets) walks.push_back(std::move(names));
  }
  if (top && !walks.empty()) top->WalkManyAhead(walks);
}

ErrorOr<StatFs> GoferFs::Stat() {
  Ref<GoferInode> top;
  {
    MutexLock lock(mu_);
    top = root_;
  }
  if (!top) return kEIO;
  auto reply = TRY(top->CallOnTarget(gofer::Op::kStatFs, [](gofer::Writer& w, const gofer::Target& target) {
    w.Put(gofer::TargetRequest{target, 0, 0});
  }));
  auto body = reply.body();
  auto s = TRY(body.Get<gofer::StatFsReply>());
  StatFs out;
  out.type = s.type;
  out.bsize = s.bsize;
  out.blocks = static_cast<int64_t>(s.blocks);
  out.bfree = static_cast<int64_t>(s.bfree);
  out.bavail = static_cast<int64_t>(s.bavail);
  out.files = static_cast<int64_t>(s.files);
  out.ffree = static_cast<int64_t>(s.ffree);
  out.namelen = s.namelen;
  out.frsize = s.frsize;
  out.fsid = dev();
  out.flags = read_only_ ? 1 : 0;  // ST_RDONLY
  return out;
}

ErrorOr<void> GoferFs::Sync() {
  if (read_only_) return {};
  Ref<GoferInode> top;
  {
    MutexLock lock(mu_);
    top = root_;
  }
  if (!top) return {};
  TRY(top->CallOnTarget(gofer::Op::kSync, [](gofer::Writer& w, const gofer::Target& target) {
    w.Put(gofer::TargetRequest{target, gofer::kSyncFileSystem, 0});
  }));
  return {};
}

std::string GoferFs::ShowOptions() {
  switch (options_.cache) {
    case GoferCache::kExclusive: return "cache=exclusive";
    case GoferCache::kTimed: return "cache=timed";
    case GoferCache::kRevalidate: return "cache=revalidate";
  }
  return {};
}

Ref<GoferInode> GoferFs::InodeFor(const gofer::WireAttr& attr) {
  std::pair key{attr.dev, attr.ino};
  auto find = [&]() MOAT_REQUIRES(mu_) {
    auto it = inodes_.find(key);
    return it != inodes_.end() && it->second->TryAddRef() ? Ref<GoferInode>(it->second, AdoptRef{}) : Ref<GoferInode>();
  };
  Ref<GoferInode> found;
  {
    MutexLock lock(mu_);
    found = find();
  }
  if (found && found->SameFile(attr)) {
    found->Update(attr);
    return found;
  }
  Ref<GoferInode> made(new GoferInode(*this, attr), AdoptRef{});
  Ref<GoferInode> other;
  {
    MutexLock lock(mu_);
    other = find();
    // Takes the place of one that is dying, or whose number was given to another file.
    if (!other || other == found) inodes_[key] = made.get();
  }
  return other && other != found ? other : made;
}

void GoferFs::Forget(GoferInode& inode) {
  cached_fds_.Remove(inode);
  handles_.Remove(inode);
  MutexLock lock(mu_);
  auto it = inodes_.find({inode.host_dev_, inode.host_ino_});
  if (it != inodes_.end() && it->second == &inode) inodes_.erase(it);
}

uint64_t GoferFs::MapDevice(uint64_t host_dev) {
  if (host_dev == root_dev_) return dev();
  MutexLock lock(mu_);
  auto [it, fresh] = devices_.try_emplace(host_dev, 0);
  if (fresh) it->second = NewAnonymousDevice();
  return it->second;
}

uint32_t GoferFs::MapId(uint32_t id) const { return unmapped_ids_ && id == kOverflowId ? 0 : id; }

Ref<GoferInode> GoferFs::Recency::Touch(GoferInode& inode, size_t limit) {
  MutexLock lock(mu_);
  auto it = where_.find(&inode);
  if (it != where_.end()) {
    order_.splice(order_.end(), order_, it->second);
  } else {
    order_.push_back(&inode);
    where_[&inode] = std::prev(order_.end());
  }
  if (order_.size() <= limit) return nullptr;
  GoferInode* oldest = order_.front();
  order_.pop_front();
  where_.erase(oldest);
  if (!oldest->TryAddRef()) return nullptr;  // dying: what it holds goes anyway
  return Ref<GoferInode>(oldest, AdoptRef{});
}

void GoferFs::Recency::Remove(GoferInode& inode) {
  MutexLock lock(mu_);
  auto it = where_.find(&inode);
  if (it == where_.end()) return;
  order_.erase(it->second);
  where_.erase(it);
}

void GoferFs::NoteCachedFd(GoferInode& inode) {
  if (Ref<GoferInode> victim = cached_fds_.Touch(inode, options_.max_cached_fds)) victim->DropCachedFd();
}

void GoferFs::NoteHandle(GoferInode& inode) {
  if (Ref<GoferInode> victim = handles_.Touch(inode, max_handles_)) victim->DropHandle();
}

}  // namespace moat
