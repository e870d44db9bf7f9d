// A tmpfs directory. Entries have positions that never change or come again, so that getdents resumes right after any change.
#pragma once

#include <map>
#include <string>
#include <unordered_map>

#include "fs/tmpfs/inode.h"
#include "fs/vfs/file_description.h"

namespace moat {

class TmpfsDirectory final : public TmpfsInode {
 public:
  TmpfsDirectory(Tmpfs& fs, uint64_t ino, const NewInode& made);

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
  ErrorOr<Ref<FileDescription>> Open(const Path& path, uint32_t flags) override;

  struct Listed {
    std::string name;
    uint64_t ino;
    uint8_t type;     // DT_*
    int64_t position;
  };
  // Up to `limit` entries at positions >= `from` ("." and ".." are not among them).
  std::vector<Listed> List(int64_t from, size_t limit);
  bool empty();

 private:
  ~TmpfsDirectory() override;
  struct Entry {
    std::string name;
    Ref<TmpfsInode> inode;
  };
  void Insert(std::string_view name, Ref<TmpfsInode> inode);
  Ref<TmpfsInode> Remove(std::string_view name);
  // Puts `inode` where the entry `name` is; what was there.
  Ref<TmpfsInode> Replace(std::string_view name, Ref<TmpfsInode> inode);
  template <class T, class... Args>
  ErrorOr<Ref<Inode>> Make(std::string_view name, Args&&... args);

  std::map<int64_t, Entry> entries_ MOAT_GUARDED_BY(mu_);                     // by position
  std::unordered_map<std::string_view, int64_t> by_name_ MOAT_GUARDED_BY(mu_);  // keys are the entries' names
  int64_t next_position_ MOAT_GUARDED_BY(mu_);
};

}  // namespace moat
