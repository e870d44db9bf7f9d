// Extended attributes: who may see and change which names (xattr(7)).
#include "abi/capability.h"
#include "abi/inotify.h"
#include "abi/limits.h"
#include "abi/stat.h"
#include "abi/xattr.h"
#include "fs/vfs/acl.h"
#include "fs/vfs/inotify.h"
#include "fs/vfs/permissions.h"
#include "fs/vfs/vfs.h"

namespace moat::vfs {

namespace {

bool IsAcl(std::string_view name) {
  return name == abi::kXATTR_NAME_POSIX_ACL_ACCESS || name == abi::kXATTR_NAME_POSIX_ACL_DEFAULT;
}

// `may` is kMayRead or kMayWrite. Names that do not exist for the caller are kENODATA when read.
ErrorOr<void> CheckUserName(const Credentials& creds, Inode& inode, int may) {
  if (!inode.is_regular() && !inode.is_dir()) return may & kMayWrite ? kEPERM : kENODATA;
  Attr attr = TRY(inode.GetAttr());
  if (inode.is_dir() && (attr.mode & abi::kS_ISVTX) && (may & kMayWrite) && !IsOwnerOrCapable(creds, attr)) return kEPERM;
  return InodePermission(creds, inode, attr, may);
}

ErrorOr<void> CheckSecurityName(const Credentials& creds, std::string_view name, int may) {
  if (!(may & kMayWrite)) return {};
  int needed = name == abi::kXATTR_NAME_CAPS ? abi::kCAP_SETFCAP : abi::kCAP_SYS_ADMIN;
  if (!creds.Has(needed)) return kEPERM;
  return {};
}

ErrorOr<void> CheckAclName(const Credentials& creds, Inode& inode, int may) {
  if (inode.is_symlink()) return kEOPNOTSUPP;
  if ((may & kMayWrite) && !IsOwnerOrCapable(creds, TRY(inode.GetAttr()))) return kEPERM;
  return {};
}

ErrorOr<void> CheckName(const Credentials& creds, const Path& path, std::string_view name, int may) {
  if (name.empty() || name.size() > abi::kXATTR_NAME_MAX) return kERANGE;
  if (may & kMayWrite) TRY(MayWriteMount(path));
  Inode& inode = *path.dentry->inode();
  auto within = [&](std::string_view prefix) { return name.starts_with(prefix) && name.size() > prefix.size(); };
  if (within(abi::kXATTR_TRUSTED_PREFIX)) {
    if (!creds.Has(abi::kCAP_SYS_ADMIN)) return may & kMayWrite ? kEPERM : kENODATA;
    return {};
  }
  if (within(abi::kXATTR_USER_PREFIX)) return CheckUserName(creds, inode, may);
  if (within(abi::kXATTR_SECURITY_PREFIX)) return CheckSecurityName(creds, name, may);
  if (IsAcl(name)) return CheckAclName(creds, inode, may);
  return kEOPNOTSUPP;
}

// An access ACL and the mode bits say the same thing twice: both are set.
ErrorOr<void> SetAccessAcl(const Credentials& creds, Inode& inode, std::string_view value) {
  std::optional<Acl> acl = Acl::Parse(value);
  if (!acl) return kEINVAL;
  Attr attr = TRY(inode.GetAttr());
  SetAttr set;
  set.mask = SetAttr::kMode | SetAttr::kCtime;
  set.mode = (attr.mode & (abi::kS_IALLUGO & ~abi::kS_IRWXUGO)) | acl->Mode();
  if (!creds.InGroup(attr.gid) && !creds.Has(abi::kCAP_FSETID)) set.mode &= ~abi::kS_ISGID;
  TRY(inode.SetAttributes(set));
  if (!acl->IsMinimal()) return inode.SetXattr(abi::kXATTR_NAME_POSIX_ACL_ACCESS, value, 0);
  ErrorOr<void> removed = inode.RemoveXattr(abi::kXATTR_NAME_POSIX_ACL_ACCESS);
  if (!removed.ok() && removed.error() != kENODATA) return removed.error();
  return {};
}

ErrorOr<void> SetAcl(const Credentials& creds, Inode& inode, std::string_view name, std::string_view value) {
  if (name == abi::kXATTR_NAME_POSIX_ACL_ACCESS) return SetAccessAcl(creds, inode, value);
  if (!inode.is_dir()) return kEACCES;
  if (!Acl::Parse(value)) return kEINVAL;
  return inode.SetXattr(name, value, 0);
}

}  // namespace

ErrorOr<std::string> GetXattr(const Credentials& creds, const Path& path, std::string_view name) {
  TRY(CheckName(creds, path, name, kMayRead));
  return path.dentry->inode()->GetXattr(name);
}

ErrorOr<void> SetXattr(const Credentials& creds, const Path& path, std::string_view name, std::string_view value,
                       int flags) {
  constexpr int kKnown = abi::kXATTR_CREATE | abi::kXATTR_REPLACE;
  if (flags & ~kKnown) return kEINVAL;
  if (value.size() > abi::kXATTR_SIZE_MAX) return kE2BIG;
  Inode& inode = *path.dentry->inode();
  TRY(CheckName(creds, path, name, kMayWrite));
  {
    TaskMutexLock lock(inode.lock());
    if (IsAcl(name)) {
      TRY(SetAcl(creds, inode, name, value));
    } else {
      TRY(inode.SetXattr(name, value, flags));
    }
  }
  NotifyFile(path, abi::kIN_ATTRIB);
  return {};
}

ErrorOr<void> RemoveXattr(const Credentials& creds, const Path& path, std::string_view name) {
  Inode& inode = *path.dentry->inode();
  TRY(CheckName(creds, path, name, kMayWrite));
  {
    TaskMutexLock lock(inode.lock());
    TRY(inode.RemoveXattr(name));
  }
  NotifyFile(path, abi::kIN_ATTRIB);
  return {};
}

ErrorOr<std::string> ListXattr(const Credentials& creds, const Path& path) {
  std::string all = TRY(path.dentry->inode()->ListXattr());
  if (creds.Has(abi::kCAP_SYS_ADMIN)) return all;
  std::string shown;
  for (size_t at = 0; at < all.size();) {
    size_t end = all.find('\0', at);
    if (end == std::string::npos) end = all.size();
    std::string_view name = std::string_view(all).substr(at, end - at);
    if (!name.starts_with(abi::kXATTR_TRUSTED_PREFIX)) shown.append(name).push_back('\0');
    at = end + 1;
  }
  return shown;
}

}  // namespace moat::vfs
