// An inode of the overlay.
#pragma once

#include <string>
#include <unordered_map>
#include <vector>

#include "fs/overlay/overlay.h"
#include "fs/vfs/file_description.h"

namespace moat {

class OverlayInode final : public Inode {
 public:
  // One lower layer's share.
  struct Lower {
    Ref<Inode> inode;
    size_t layer;
  };
  OverlayInode(Overlay& fs, uint32_t type, Ref<OverlayInode> parent, std::string name, Ref<Inode> upper,
               std::vector<Lower> lower);

  ErrorOr<Attr> GetAttr() override;
  ErrorOr<void> SetAttributes(const SetAttr& set) override;
  ErrorOr<void> CheckAccess(const Credentials& creds, int may) override;
  ErrorOr<Ref<Inode>> Lookup(std::string_view name) override;
  ErrorOr<Ref<Inode>> Create(std::string_view name, const NewInode& made) override;
  ErrorOr<Ref<Inode>> Mkdir(std::string_view name, const NewInode& made) override;
  ErrorOr<Ref<Inode>> Mknod(std::string_view name, uint32_t type, uint64_t rdev, const NewInode& made) override;
  ErrorOr<Ref<Inode>> Symlink(std::string_view name, std::string_view target, const NewInode& made) override;
  ErrorOr<void> Link(std::string_view name, Inode& target) override;
  ErrorOr<void> Unlink(std::string_view name, Inode& victim) override;
  ErrorOr<void> Rmdir(std::string_view name, Inode& victim) override;
  ErrorOr<void> Rename(std::string_view old_name, Inode& source, Inode& new_dir, std::string_view new_name, Inode* target,
                       uint32_t flags) override;
  ErrorOr<Ref<Inode>> CreateUnnamed(const NewInode& made) override;
  ErrorOr<std::string> ReadLink() override;
  ErrorOr<Ref<FileDescription>> Open(const Path& path, uint32_t flags) override;
  ErrorOr<std::string> GetXattr(std::string_view name) override;
  ErrorOr<void> SetXattr(std::string_view name, std::string_view value, int flags) override;
  ErrorOr<void> RemoveXattr(std::string_view name) override;
  ErrorOr<std::string> ListXattr() override;
  void WalkAhead(const std::vector<std::string_view>& names) override;
  bool StillValid(std::string_view name) override;
  bool CachesNegative() override;
  bool MayHaveAcl() override { return real()->MayHaveAcl(); }
  bool KeepsAtime() override;

  Overlay& overlay() const { return static_cast<Overlay&>(fs()); }
  Ref<Inode> upper() const;                             // or null
  const std::vector<Lower>& lowers() const { return lower_; }  // never changes
  Ref<Inode> real() const;                              // upper, or the topmost lower
  // Makes the upper inode, with the content unless it is about to be emptied. kEROFS without an upper layer.
  ErrorOr<Ref<Inode>> CopyUp(bool with_content = true);
  // What getdents shows, without "." and "..".
  struct Listed {
    std::string name;
    uint64_t ino;
    uint8_t type;
  };
  ErrorOr<std::vector<Listed>> List();

 private:
  friend class Overlay;
  ~OverlayInode() override;

  // lookup.cc
  ErrorOr<Ref<OverlayInode>> FromUpper(std::string_view name, Ref<Inode> found, std::vector<Lower> lower);
  ErrorOr<std::vector<Lower>> LookupLower(std::string_view name, bool dirs_only);
  ErrorOr<bool> LowerHas(std::string_view name);
  Ref<OverlayInode> FindChild(std::string_view name);
  void Adopt(std::string_view name, OverlayInode& child);  // enters it into children_
  OverlayInode* LeaveParent();
  uint64_t OriginOf(Inode& upper) const;  // 0: none

  // copy_up.cc
  ErrorOr<Ref<Inode>> CopyUpLocked(bool with_content);
  ErrorOr<Ref<Inode>> MakeUpper(Inode& dir, std::string_view name, const Attr& attr, bool with_content);

  // names.cc
  template <class Make>
  ErrorOr<Ref<Inode>> MakeChild(std::string_view name, Make make);
  ErrorOr<bool> RemoveWhiteout(Inode& upper_dir, std::string_view name);  // true if there was one
  ErrorOr<void> WhiteoutIfLower(Inode& upper_dir, std::string_view name);
  ErrorOr<void> ClearWhiteouts(Inode& upper_dir);

  mutable Mutex mu_;
  Ref<Inode> upper_ MOAT_GUARDED_BY(mu_);
  const std::vector<Lower> lower_;
  Ref<OverlayInode> parent_ MOAT_GUARDED_BY(mu_);  // null: root, or nameless
  std::string name_ MOAT_GUARDED_BY(mu_);
  std::unordered_map<std::string, OverlayInode*> children_ MOAT_GUARDED_BY(mu_);  // in use; weak
  std::atomic<uint64_t> ino_{0};  // if not the real inode's own number
  bool linked_ MOAT_GUARDED_BY(mu_) = true;
};

inline OverlayInode& AsOverlay(Inode& inode) { return static_cast<OverlayInode&>(inode); }

// True for the marker of a removed name.
bool IsWhiteout(Inode& inode);

inline constexpr std::string_view kOverlayPrefix = "trusted.overlay.";
inline constexpr std::string_view kOpaqueXattr = "trusted.overlay.opaque";
inline constexpr std::string_view kOriginXattr = "trusted.overlay.origin";

}  // namespace moat
