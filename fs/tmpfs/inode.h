// The inodes of tmpfs: attributes common to all, symlinks, special files. Files and directories: file.h, directory.h.
#pragma once

#include <map>
#include <memory>
#include <string>

#include "fs/tmpfs/tmpfs.h"
#include "fs/vfs/file_description.h"

namespace moat {

// Bytes of extended attributes that one inode may hold.
inline constexpr size_t kMaxXattrBytes = 128 * 1024;

class TmpfsInode : public Inode {
 public:
  ErrorOr<Attr> GetAttr() override;
  ErrorOr<void> SetAttributes(const SetAttr& set) override;
  ErrorOr<Ref<FileDescription>> Open(const Path& path, uint32_t flags) override { return kENXIO; }
  ErrorOr<std::string> GetXattr(std::string_view name) override;
  ErrorOr<void> SetXattr(std::string_view name, std::string_view value, int flags) override;
  ErrorOr<void> RemoveXattr(std::string_view name) override;
  ErrorOr<std::string> ListXattr() override;
  bool MayHaveAcl() override { return has_acl_.load(std::memory_order_relaxed); }
  bool KeepsAtime() override { return true; }

  Tmpfs& tmpfs() const { return static_cast<Tmpfs&>(fs()); }
  uint64_t ino() const { return ino_; }
  // Link counts and time stamps of directory operations.
  void AddLinks(int n);     // and stamps the change time
  void TouchModified();     // modification and change time
  void TouchChanged();

 protected:
  TmpfsInode(Tmpfs& fs, uint32_t type, uint64_t ino, const NewInode& made, uint64_t rdev = 0);
  ~TmpfsInode() override;

  mutable Mutex mu_;
  Attr attr_ MOAT_GUARDED_BY(mu_);

 private:
  // Changes the size of the content; lock() held. kEINVAL for what has none.
  virtual ErrorOr<void> SetSize(uint64_t size) { return kEINVAL; }
  // Brings attr_'s size and blocks up to date before it is read.
  virtual void Refresh() {}

  struct Xattrs {
    std::map<std::string, std::string, std::less<>> values;
    size_t bytes = 0;
  };
  std::unique_ptr<Xattrs> xattrs_ MOAT_GUARDED_BY(mu_);  // null: none
  std::atomic<bool> has_acl_{false};
  const uint64_t ino_;
};

// A symlink, FIFO, socket or device node.
class TmpfsSpecial final : public TmpfsInode {
 public:
  TmpfsSpecial(Tmpfs& fs, uint32_t type, uint64_t ino, const NewInode& made, uint64_t rdev, std::string target);
  ErrorOr<std::string> ReadLink() override;

 private:
  const std::string target_;
};

}  // namespace moat
