// An open directory of the gofer's. Positions are ordinals: 0 is ".", 1 is "..", then the entries as the host gives them.
#pragma once

#include <deque>
#include <string>
#include <vector>

#include "fs/goferfs/gofer_inode.h"
#include "fs/vfs/file_description.h"

namespace moat {

class GoferDirFile final : public FileDescription {
 public:
  static Ref<GoferDirFile> Create(const Path& path, uint32_t flags, Ref<GoferInode> inode);

  ErrorOr<void> ReadDir(DirSink& sink, int64_t* position) override;
  ErrorOr<void> Sync(bool data_only) override;

 private:
  struct Entry {
    std::string name;
    uint64_t ino;
    uint8_t type;
  };
  GoferDirFile(const Path& path, uint32_t flags, Ref<GoferInode> inode);
  ~GoferDirFile() override;

  void Rewind() MOAT_REQUIRES(lock_);
  ErrorOr<GoferClient::Reply> Request(uint64_t cookie) MOAT_REQUIRES(lock_);
  ErrorOr<void> Fetch(size_t batch) MOAT_REQUIRES(lock_);
  // Brings the entry of `ordinal` (2 or more) into entries_; false at the end.
  ErrorOr<bool> Load(int64_t ordinal) MOAT_REQUIRES(lock_);
  ErrorOr<bool> EmitDots(DirSink& sink, int64_t* position);

  const Ref<GoferInode> inode_;
  TaskMutex lock_{LockRank::kLeaf};
  // What was fetched last, and where every batch started: a seek back asks for it again.
  std::vector<Entry> entries_ MOAT_GUARDED_BY(lock_);
  int64_t first_ MOAT_GUARDED_BY(lock_) = 2;  // ordinal of entries_[0]
  struct Start {
    int64_t ordinal;
    uint64_t cookie;
  };
  std::vector<Start> starts_ MOAT_GUARDED_BY(lock_);  // of all batches known, in order
  bool at_end_ MOAT_GUARDED_BY(lock_) = false;        // starts_ is complete: the last batch was the last
  gofer::Handle stream_ MOAT_GUARDED_BY(lock_) = 0;
};

}  // namespace moat
