#include "fs/vfs/permissions.h"

#include <optional>

#include "abi/capability.h"
#include "abi/stat.h"
#include "abi/xattr.h"
#include "fs/vfs/acl.h"
#include "fs/vfs/mount.h"

namespace moat {

namespace {

bool Grants(uint32_t perm, int may) { return (static_cast<int>(perm) & may) == may; }

bool ModeAllows(const Credentials& creds, Inode& inode, const Attr& attr, int may) {
  if (attr.uid == creds.fsuid) return Grants((attr.mode >> 6) & 7, may);
  if ((attr.mode & abi::kS_IRWXG) && inode.MayHaveAcl()) {
    ErrorOr<std::string> value = inode.GetXattr(abi::kXATTR_NAME_POSIX_ACL_ACCESS);
    std::optional<Acl> acl = value.ok() ? Acl::Parse(*value) : std::nullopt;
    if (acl) return acl->Allows(creds, attr, may);
  }
  // Only ask for the groups if it matters.
  uint32_t mode = attr.mode;
  if ((may & (mode ^ (mode >> 3)) & 7) && creds.InGroup(attr.gid)) mode >>= 3;
  return Grants(mode & 7, may);
}

bool CapabilityAllows(const Credentials& creds, const Attr& attr, int may) {
  if (abi::IsDir(attr.mode)) {
    if (!(may & kMayWrite) && creds.Has(abi::kCAP_DAC_READ_SEARCH)) return true;
    return creds.Has(abi::kCAP_DAC_OVERRIDE);
  }
  if (may == kMayRead && creds.Has(abi::kCAP_DAC_READ_SEARCH)) return true;
  // Nobody executes a file without any x bit.
  if (!(may & kMayExec) || (attr.mode & abi::kS_IXUGO)) return creds.Has(abi::kCAP_DAC_OVERRIDE);
  return false;
}

}  // namespace

ErrorOr<void> InodePermission(const Credentials& creds, Inode& inode, const Attr& attr, int may) {
  if (may && !ModeAllows(creds, inode, attr, may) && !CapabilityAllows(creds, attr, may)) return kEACCES;
  return inode.CheckAccess(creds, may);
}

ErrorOr<void> InodePermission(const Credentials& creds, Inode& inode, int may) {
  return InodePermission(creds, inode, TRY(inode.GetAttr()), may);
}

ErrorOr<void> MayWriteMount(const Path& path) {
  if (path.mount && path.mount->read_only()) return kEROFS;
  return {};
}

ErrorOr<void> PathPermission(const Credentials& creds, const Path& path, int may) {
  Inode& inode = *path.dentry->inode();
  if ((may & kMayWrite) && (inode.is_regular() || inode.is_dir() || inode.is_symlink())) TRY(MayWriteMount(path));
  if ((may & kMayExec) && inode.is_regular() && path.mount && (path.mount->flags() & kMountNoExec)) return kEACCES;
  return InodePermission(creds, inode, may);
}

bool IsOwnerOrCapable(const Credentials& creds, const Attr& attr) {
  return creds.fsuid == attr.uid || creds.Has(abi::kCAP_FOWNER);
}

ErrorOr<void> MayCreate(const Credentials& creds, const Path& dir) {
  TRY(MayWriteMount(dir));
  if (dir.dentry->unhashed()) return kENOENT;
  return InodePermission(creds, *dir.dentry->inode(), kMayWrite | kMayExec);
}

ErrorOr<void> MayDelete(const Credentials& creds, const Path& dir, Dentry& victim) {
  TRY(MayWriteMount(dir));
  Inode& parent = *dir.dentry->inode();
  Attr attr = TRY(parent.GetAttr());
  TRY(InodePermission(creds, parent, attr, kMayWrite | kMayExec));
  if ((attr.mode & abi::kS_ISVTX) && attr.uid != creds.fsuid && !creds.Has(abi::kCAP_FOWNER)) {
    Attr child = TRY(victim.inode()->GetAttr());
    if (child.uid != creds.fsuid) return kEPERM;
  }
  return {};
}

NewInode PrepareNewInode(const Credentials& creds, const Attr& dir, uint32_t mode, bool is_dir) {
  NewInode n{mode & abi::kS_IALLUGO, creds.fsuid, creds.fsgid};
  if (!(dir.mode & abi::kS_ISGID)) return n;
  n.gid = dir.gid;
  constexpr uint32_t kSetGidExec = abi::kS_ISGID | abi::kS_IXGRP;
  if (is_dir) {
    n.mode |= abi::kS_ISGID;
  } else if ((n.mode & kSetGidExec) == kSetGidExec && !creds.InGroup(dir.gid) && !creds.Has(abi::kCAP_FSETID)) {
    n.mode &= ~abi::kS_ISGID;
  }
  return n;
}

uint32_t WithoutSetId(const Credentials& creds, const Attr& attr) {
  uint32_t mode = attr.mode & abi::kS_IALLUGO & ~abi::kS_ISUID;
  // Without x for the group, set-gid once meant mandatory locking: it stays for members.
  if ((mode & abi::kS_IXGRP) || (!creds.InGroup(attr.gid) && !creds.Has(abi::kCAP_FSETID))) mode &= ~abi::kS_ISGID;
  return mode;
}

}  // namespace moat
