// What nodes of a task have in common: its files belong to its user, and end with it.
#pragma once

#include "abi/stat.h"
#include "fs/memtree/node.h"
#include "fs/proc/source.h"
#include "fs/proc/task_dir.h"

namespace moat::proc {

template <class Base>
class TaskNode : public Base {
 public:
  bool StillValid(std::string_view) override { return source().Alive(key_); }

 protected:
  // `args` are Base's after the file system: mode or permissions, inode number.
  template <class... Args>
  TaskNode(FileSystem& fs, const Context& context, TaskKey key, Args&&... args)
      : Base(fs, std::forward<Args>(args)...), context_(context), key_(key) {}

  ErrorOr<void> Refresh(Attr& attr) override {
    ErrorOr<ProcSource::Owner> owner = source().OwnerOf(key_);
    if (!owner.ok()) return kENOENT;
    // An undumpable task's files are root's, but for its directories, which anybody may list.
    if (owner->dumpable || (attr.mode & 07777) == 0555) {
      attr.uid = owner->uid;
      attr.gid = owner->gid;
    }
    return {};
  }

  const Context& context() const { return context_; }
  ProcSource& source() const { return context_.source; }
  TaskKey key() const { return key_; }

 private:
  const Context context_;
  const TaskKey key_;
};

}  // namespace moat::proc
