// What changes the tree. The vfs holds the directory's lock and has checked permissions; the gofer refuses everything on a
// read-only root.
#include "abi/fcntl.h"
#include "abi/stat.h"
#include "base/host/file.h"
#include "fs/goferfs/gofer_call.h"

namespace moat {

namespace {
gofer::NewNode ToWire(const NewInode& node) { return {node.mode, node.uid, node.gid}; }
GoferInode& AsGofer(Inode& inode) { return static_cast<GoferInode&>(inode); }
}  // namespace

// Something happened to `name` in this directory.
void GoferInode::ChildChanged(std::string_view name) {
  gofer_fs().names().Erase(serial_, name);
  AttributesChanged();
}

ErrorOr<Ref<GoferInode>> GoferInode::TakeNode(GoferClient::Reply& reply, std::string_view name) {
  auto body = reply.body();
  auto node = TRY(body.Get<gofer::NodeReply>());
  Ref<GoferInode> inode = gofer_fs().InodeFor(node.attr);
  if (!name.empty()) inode->SetPlace(Ref<GoferInode>(this), name);
  inode->AdoptHandle(node.handle);
  ChildChanged(name);
  return inode;
}

ErrorOr<Ref<Inode>> GoferInode::Create(std::string_view name, const NewInode& node) {
  if (HostFds::full()) return kENFILE;
  auto reply = TRY(CallInDirectory(gofer::Op::kCreate, [&](gofer::Writer& w, Handle dir) {
    w.Put(gofer::CreateRequest{dir, ToWire(node), abi::kO_RDWR, 0});
    w.PutString(name);
  }));
  Ref<GoferInode> inode = TRY(TakeNode(reply, name));
  if (reply.fd().valid()) {
    auto fd = MakeRef<HostFd>(std::move(reply.fd()));
    MutexLock lock(inode->mu_);
    inode->created_fd_ = std::move(fd);
  }
  return Ref<Inode>(std::move(inode));
}

ErrorOr<Ref<Inode>> GoferInode::CreateUnnamed(const NewInode& node) {
  if (HostFds::full()) return kENFILE;
  auto reply = TRY(CallInDirectory(gofer::Op::kCreateUnnamed, [&](gofer::Writer& w, Handle dir) {
    w.Put(gofer::CreateRequest{dir, ToWire(node), abi::kO_RDWR, gofer::kOpenHandle});
  }));
  Ref<GoferInode> inode = TRY(TakeNode(reply, {}));
  if (reply.fd().valid()) {
    auto fd = MakeRef<HostFd>(std::move(reply.fd()));
    MutexLock lock(inode->mu_);
    inode->created_fd_ = std::move(fd);
  }
  return Ref<Inode>(std::move(inode));
}

ErrorOr<Ref<Inode>> GoferInode::Mkdir(std::string_view name, const NewInode& node) {
  auto reply = TRY(CallInDirectory(gofer::Op::kMkdir, [&](gofer::Writer& w, Handle dir) {
    w.Put(gofer::MkdirRequest{dir, ToWire(node)});
    w.PutString(name);
  }));
  return Ref<Inode>(TRY(TakeNode(reply, name)));
}

ErrorOr<Ref<Inode>> GoferInode::Mknod(std::string_view name, uint32_t type, uint64_t, const NewInode& node) {
  auto reply = TRY(CallInDirectory(gofer::Op::kMknod, [&](gofer::Writer& w, Handle dir) {
    w.Put(gofer::MknodRequest{dir, type, ToWire(node)});
    w.PutString(name);
  }));
  return Ref<Inode>(TRY(TakeNode(reply, name)));
}

ErrorOr<Ref<Inode>> GoferInode::Symlink(std::string_view name, std::string_view target, const NewInode& node) {
  if (target.size() > gofer::kMaxTarget) return kENAMETOOLONG;
  auto reply = TRY(CallInDirectory(gofer::Op::kSymlink, [&](gofer::Writer& w, Handle dir) {
    w.Put(gofer::SymlinkRequest{dir, ToWire(node)});
    w.PutString(name);
    w.PutString(target);
  }));
  return Ref<Inode>(TRY(TakeNode(reply, name)));
}

ErrorOr<void> GoferInode::Link(std::string_view name, Inode& target) {
  if (&target.fs() != &fs()) return kEXDEV;
  GoferInode& source = AsGofer(target);
  Handle dir = TRY(EnsureHandle());
  auto reply = TRY(source.CallOnTarget(
      gofer::Op::kLink, [&](gofer::Writer& w, const gofer::Target& from, std::string_view from_name) {
        w.Put(gofer::LinkRequest{from, dir, 0});
        w.PutString(from_name);
        w.PutString(name);
      }));
  auto body = reply.body();
  source.Update(TRY(body.Get<gofer::AttrReply>()).attr);
  source.SetPlace(Ref<GoferInode>(this), name);
  ChildChanged(name);
  return {};
}

// This inode is no longer at `name`. `node` is what the gofer says of it, with a handle if one was asked for.
void GoferInode::LostName(std::string_view name, const gofer::NodeReply& node) {
  Update(node.attr);
  AdoptHandle(node.handle);
  Ref<GoferInode> old_parent;  // goes after the lock
  MutexLock lock(mu_);
  if (node.attr.nlink == 0 || name_ == name) {
    unreachable_ = handle_ == 0;
    entry_time_ns_ = 0;
  }
}

ErrorOr<void> GoferInode::RemoveName(gofer::Op op, std::string_view name, GoferInode& victim) {
  uint32_t flags = op == gofer::Op::kUnlink && victim.MustKeep() ? gofer::kUnlinkKeep : 0u;
  auto reply = TRY(CallInDirectory(op, [&](gofer::Writer& w, Handle dir) {
    w.Put(gofer::UnlinkRequest{dir, flags, victim.host_dev_, victim.host_ino_});
    w.PutString(name);
  }));
  auto body = reply.body();
  victim.LostName(name, TRY(body.Get<gofer::NodeReply>()));
  ChildChanged(name);
  return {};
}

ErrorOr<void> GoferInode::Unlink(std::string_view name, Inode& victim) {
  return RemoveName(gofer::Op::kUnlink, name, AsGofer(victim));
}

ErrorOr<void> GoferInode::Rmdir(std::string_view name, Inode& victim) {
  return RemoveName(gofer::Op::kRmdir, name, AsGofer(victim));
}

ErrorOr<void> GoferInode::Rename(std::string_view old_name, Inode& source, Inode& new_dir, std::string_view new_name,
                                 Inode* target, uint32_t flags) {
  if (flags & ~(abi::kRENAME_NOREPLACE | abi::kRENAME_EXCHANGE)) return kEINVAL;
  GoferInode& to = AsGofer(new_dir);
  GoferInode& moved = AsGofer(source);
  uint32_t keep = target && !target->is_dir() && AsGofer(*target).MustKeep() ? gofer::kUnlinkKeep : 0u;
  Handle to_handle = TRY(to.EnsureHandle());
  auto reply = TRY(CallInDirectory(gofer::Op::kRename, [&](gofer::Writer& w, Handle dir) {
    w.Put(gofer::RenameRequest{dir, to_handle, flags, keep});
    w.PutString(old_name);
    w.PutString(new_name);
  }));
  auto body = reply.body();
  auto replaced = TRY(body.Get<gofer::NodeReply>());
  moved.SetPlace(Ref<GoferInode>(&to), new_name);
  moved.AttributesChanged();
  if (target && (flags & abi::kRENAME_EXCHANGE)) {
    AsGofer(*target).SetPlace(Ref<GoferInode>(this), old_name);
    AsGofer(*target).AttributesChanged();
  } else if (target && target != &source && replaced.attr.ino == AsGofer(*target).host_ino_) {
    AsGofer(*target).LostName(new_name, replaced);
  }
  ChildChanged(old_name);
  to.ChildChanged(new_name);
  return {};
}

ErrorOr<void> GoferInode::SetAttributes(const SetAttr& set) {
  constexpr uint32_t kSettable =
      SetAttr::kMode | SetAttr::kUid | SetAttr::kGid | SetAttr::kSize | SetAttr::kAtime | SetAttr::kMtime;
  static_assert(kSettable == (gofer::kSetMode | gofer::kSetUid | gofer::kSetGid | gofer::kSetSize | gofer::kSetAtime |
                              gofer::kSetMtime));
  uint32_t mask = set.mask & kSettable;  // the host stamps ctime
  if (mask == 0) return {};
  gofer::SetAttrRequest request{};
  request.mask = mask;
  request.mode = set.mode;
  request.uid = set.uid;
  request.gid = set.gid;
  request.size = set.size;
  request.atime_sec = set.atime.sec, request.atime_nsec = static_cast<uint32_t>(set.atime.nsec);
  request.mtime_sec = set.mtime.sec, request.mtime_nsec = static_cast<uint32_t>(set.mtime.nsec);
  auto reply = TRY(CallOnTarget(gofer::Op::kSetAttr, [&](gofer::Writer& w, const gofer::Target& target) {
    request.target = target;
    w.Put(request);
  }));
  auto body = reply.body();
  Update(TRY(body.Get<gofer::AttrReply>()).attr);
  return {};
}

ErrorOr<void> GoferInode::SetXattr(std::string_view name, std::string_view value, int flags) {
  if (hidden_) return kEACCES;
  if (name.size() > gofer::kMaxXattrName) return kERANGE;
  if (value.size() > gofer::kMaxXattrValue) return kE2BIG;
  TRY(CallOnTarget(gofer::Op::kSetXattr, [&](gofer::Writer& w, const gofer::Target& target, std::string_view own_name) {
    w.Put(gofer::XattrRequest{target, static_cast<uint32_t>(flags), static_cast<uint32_t>(value.size())});
    w.PutString(own_name);
    w.PutString(name);
    w.PutBytes(value.data(), value.size());
  }));
  AttributesChanged();
  MutexLock lock(mu_);
  xattrs_.clear();
  return {};
}

ErrorOr<void> GoferInode::RemoveXattr(std::string_view name) {
  if (hidden_) return kEACCES;
  if (name.size() > gofer::kMaxXattrName) return kERANGE;
  TRY(CallOnTarget(gofer::Op::kRemoveXattr,
                   [&](gofer::Writer& w, const gofer::Target& target, std::string_view own_name) {
                     w.Put(gofer::XattrRequest{target, 0, 0});
                     w.PutString(own_name);
                     w.PutString(name);
                   }));
  AttributesChanged();
  MutexLock lock(mu_);
  xattrs_.clear();
  return {};
}

}  // namespace moat
