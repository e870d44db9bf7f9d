#include "fs/vfs/path_walk.h"

#include "abi/fcntl.h"
#include "abi/limits.h"
#include "fs/vfs/dentry_cache.h"
#include "fs/vfs/mount_namespace.h"
#include "fs/vfs/permissions.h"

namespace moat {

namespace {

constexpr uint64_t kScoped = abi::kRESOLVE_BENEATH | abi::kRESOLVE_IN_ROOT;
// Names handed to WalkAhead at once; longer paths ask again.
constexpr size_t kMaxPrefetch = 32;

LastType TypeOf(std::string_view component) {
  if (component == ".") return LastType::kDot;
  if (component == "..") return LastType::kDotDot;
  return LastType::kNormal;
}

// False where a walk cannot be foretold, or is long enough.
bool AppendNames(std::string_view text, std::vector<std::string_view>& names) {
  while (names.size() < kMaxPrefetch) {
    size_t begin = text.find_first_not_of('/');
    if (begin == std::string_view::npos) return true;
    text.remove_prefix(begin);
    std::string_view name = text.substr(0, text.find('/'));
    text.remove_prefix(name.size());
    if (name == ".") continue;
    if (name == ".." || name.size() > abi::kNAME_MAX) return false;
    names.push_back(name);
  }
  return false;
}

bool OnlySlashes(std::string_view text, size_t from) { return text.find_first_not_of('/', from) == std::string_view::npos; }

}  // namespace

Walker::Walker(const WalkContext& context, const Path& start, WalkFlags flags)
    : context_(context), flags_(flags), start_(start), root_(flags.resolve & kScoped ? start : context.root),
      place_(start) {}

ErrorOr<void> Walker::Begin(std::string_view path) {
  if (path.empty()) return kENOENT;
  if (path.size() >= abi::kPATH_MAX) return kENAMETOOLONG;
  if (path[0] == '/') {
    if (flags_.resolve & abi::kRESOLVE_BENEATH) return kEXDEV;
    place_ = root_;
  }
  pending_.push_back({std::string(path), 0});
  return {};
}

bool Walker::Next(std::string_view* component) {
  while (!pending_.empty()) {
    Pending& p = pending_.back();
    size_t begin = p.text.find_first_not_of('/', p.position);
    if (begin == std::string::npos) {
      pending_.pop_back();
      continue;
    }
    size_t end = p.text.find('/', begin);
    if (end == std::string::npos) end = p.text.size();
    p.position = end;
    *component = std::string_view(p.text).substr(begin, end - begin);
    return true;
  }
  return false;
}

bool Walker::MoreToCome() const {
  for (const Pending& p : pending_) {
    if (!OnlySlashes(p.text, p.position)) return true;
  }
  return false;
}

ErrorOr<void> Walker::CheckSearch() {
  Inode* inode = place_.dentry->inode();
  if (!inode || !inode->is_dir()) return kENOTDIR;
  return InodePermission(context_.creds, *inode, kMayExec);
}

ErrorOr<void> Walker::ToParent() {
  std::string_view component;
  while (Next(&component)) {
    if (MoreToCome()) {
      TRY(Step(component, false, true));
      continue;
    }
    last_ = component;
    last_type_ = TypeOf(component);
    for (const Pending& p : pending_) trailing_slash_ |= p.position < p.text.size();
    pending_.clear();
    return CheckSearch();
  }
  last_.clear();
  last_type_ = LastType::kRoot;
  return {};
}

ErrorOr<void> Walker::ToEnd(bool follow) {
  while (last_type_ != LastType::kRoot) {
    bool follow_now = follow || trailing_slash_;
    TRY(Step(last_, true, follow_now));
    if (!follow_now || !place_.dentry->inode()->is_symlink()) break;
    if (!TRY(FollowLast())) break;
    TRY(ToParent());
  }
  if ((trailing_slash_ || flags_.directory) && !place_.dentry->inode()->is_dir()) return kENOTDIR;
  return {};
}

// One component, whose directory is place_. A symlink in the middle is followed; at the end the caller does it.
ErrorOr<void> Walker::Step(std::string_view component, bool last, bool follow) {
  if (!last) TRY(CheckSearch());  // ToParent has checked the last one's
  switch (TypeOf(component)) {
    case LastType::kDot: return {};
    case LastType::kDotDot: return StepUp();
    default: break;
  }
  if (component.size() > abi::kNAME_MAX) return kENAMETOOLONG;
  TRY(EnterChild(TRY(LookUp(component))));
  if (last || !follow || !place_.dentry->inode()->is_symlink()) return {};
  TRY(FollowLink(place_, before_));
  return {};
}

ErrorOr<Ref<Dentry>> Walker::LookUp(std::string_view name) {
  Dentry& dir = *place_.dentry;
  if (Ref<Dentry> child = DentryCache::FindValid(dir, name)) return child;
  if (flags_.resolve & abi::kRESOLVE_CACHED) return kEAGAIN;
  Prefetch(name);
  TaskMutexLock lock(dir.inode()->lock());
  return DentryCache::LookupLocked(dir, name);
}

// Tells the file system which names will come next, once for each text: those of a symlink's and of what goes on after it.
void Walker::Prefetch(std::string_view first) {
  if (prefetched_) return;
  prefetched_ = true;
  std::vector<std::string_view> names{first};
  for (auto p = pending_.rbegin(); p != pending_.rend(); ++p) {
    if (!AppendNames(std::string_view(p->text).substr(p->position), names)) break;
  }
  if (names.size() > 1) place_.dentry->inode()->WalkAhead(names);
}

ErrorOr<void> Walker::EnterChild(Ref<Dentry> child) {
  if (child->negative()) return kENOENT;
  if (child->inode()->is_symlink()) before_ = place_;
  place_.dentry = std::move(child);
  if (place_.dentry->is_mountpoint() && MountTable::FollowDown(place_) && (flags_.resolve & abi::kRESOLVE_NO_XDEV)) {
    return kEXDEV;
  }
  return {};
}

ErrorOr<void> Walker::StepUp() {
  for (;;) {
    if (place_ == root_) {
      if (flags_.resolve & abi::kRESOLVE_BENEATH) return kEXDEV;
      break;
    }
    if (place_.mount && place_.dentry == place_.mount->root()) {
      if (!MountTable::FollowUp(place_)) break;
      if (flags_.resolve & abi::kRESOLVE_NO_XDEV) return kEXDEV;
      continue;
    }
    Ref<Dentry> parent = place_.dentry->parent();
    // A directory that was renamed out of the subtree of a bind mount must not lead out of the mount.
    if (place_.mount && !place_.mount->root()->is_root() && !parent->IsWithin(*place_.mount->root())) return kENOENT;
    place_.dentry = std::move(parent);
    break;
  }
  if (place_.dentry->is_mountpoint() && MountTable::FollowDown(place_) && (flags_.resolve & abi::kRESOLVE_NO_XDEV)) {
    return kEXDEV;
  }
  return {};
}

ErrorOr<void> Walker::Jump(const Path& to) {
  if (flags_.resolve & abi::kRESOLVE_BENEATH) return kEXDEV;
  if ((flags_.resolve & abi::kRESOLVE_NO_XDEV) && to.mount != place_.mount) return kEXDEV;
  place_ = to;
  return {};
}

ErrorOr<bool> Walker::FollowLast() { return FollowLink(Path(place_), Path(before_)); }

ErrorOr<bool> Walker::FollowLink(const Path& link_, const Path& directory_) {
  Path link = link_, directory = directory_;  // may alias place_ and before_
  if (++links_ > abi::kMAXSYMLINKS) return kELOOP;
  if (flags_.resolve & abi::kRESOLVE_NO_SYMLINKS) return kELOOP;
  if (link.mount && (link.mount->flags() & kMountNoSymfollow)) return kELOOP;
  Inode& inode = *link.dentry->inode();
  Path target;
  ErrorOr<void> magic = inode.FollowMagic(&target);
  if (magic.ok()) {
    if (flags_.resolve & abi::kRESOLVE_NO_MAGICLINKS) return kELOOP;
    if (flags_.resolve & kScoped) return kEXDEV;
    TRY(Jump(target));
    return false;
  }
  if (magic.error() != kEINVAL) return magic.error();
  std::string text = TRY(inode.ReadLink());
  if (text.empty()) return kENOENT;
  place_ = std::move(directory);
  if (text[0] == '/') TRY(Jump(root_));
  pending_.push_back({std::move(text), 0});
  prefetched_ = false;
  return true;
}

ErrorOr<Path> Walk(const WalkContext& context, const Path& start, std::string_view path, WalkFlags flags) {
  if (path.empty() && flags.empty_path) {
    if (flags.directory && !start.dentry->inode()->is_dir()) return kENOTDIR;
    return start;
  }
  Walker walker(context, start, flags);
  TRY(walker.Begin(path));
  TRY(walker.ToParent());
  TRY(walker.ToEnd(flags.follow));
  return walker.place();
}

ErrorOr<WalkedParent> WalkParent(const WalkContext& context, const Path& start, std::string_view path,
                                 WalkFlags flags) {
  Walker walker(context, start, flags);
  TRY(walker.Begin(path));
  TRY(walker.ToParent());
  if (walker.last_type() == LastType::kNormal && walker.last().size() > abi::kNAME_MAX) return kENAMETOOLONG;
  return WalkedParent{walker.place(), walker.last(), walker.last_type(), walker.trailing_slash()};
}

PathString DPath(const Path& root, const Path& path) {
  PathString out;
  if (path.dentry->anonymous()) {
    out.text = path.dentry->name();
    return out;
  }
  out.deleted = path.dentry->unhashed();
  std::vector<std::string> names;
  Path at = path;
  while (!(at == root)) {
    if (at.mount && at.dentry == at.mount->root()) {
      if (MountTable::FollowUp(at)) continue;
      out.reachable = root.dentry == nullptr;
      break;
    }
    if (at.dentry->is_root()) {
      out.reachable = false;
      break;
    }
    names.push_back(at.dentry->name());
    at.dentry = at.dentry->parent();
  }
  for (auto it = names.rbegin(); it != names.rend(); ++it) out.text.append("/").append(*it);
  if (out.text.empty()) out.text = "/";
  return out;
}

}  // namespace moat
