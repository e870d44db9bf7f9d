// The dentry cache: the children of directories that were looked up lately, found and missing ones.
//
// It holds a bounded number of dentries alive (second-chance order), so that a guest cannot make the sentry hold memory by
// walking; what is in use beyond that lives by its users' references.
//
// Locks: the caller of the *Locked and changing functions holds Inode::lock of the directories concerned.
#pragma once

#include <string_view>

#include "fs/vfs/dentry.h"

namespace moat {

class DentryCache {
 public:
  // The cached child, or null. May be negative. Takes no sleeping lock.
  static Ref<Dentry> Find(Dentry& dir, std::string_view name);
  // As Find, but null if the file system wants to be asked again.
  static Ref<Dentry> FindValid(Dentry& dir, std::string_view name);
  // The child, asking the file system (which may park) if it is not cached or no longer valid. A missing name gives a
  // negative dentry, not kENOENT. The first form takes the directory's lock when it asks.
  static ErrorOr<Ref<Dentry>> Lookup(Dentry& dir, std::string_view name);
  static ErrorOr<Ref<Dentry>> LookupLocked(Dentry& dir, std::string_view name);

  // Publishes `inode` as `name` in `dir` after it was made there.
  static Ref<Dentry> Instantiate(Dentry& dir, std::string_view name, Ref<Inode> inode);
  // A deleted-looking child for O_TMPFILE ("#12").
  static Ref<Dentry> MakeUnhashed(Dentry& dir, std::string name, Ref<Inode> inode);
  // After unlink and rmdir.
  static void Unhash(Dentry& dentry);
  // After a rename; what was at the new name is unhashed.
  static void Move(Dentry& dentry, Dentry& new_dir, std::string_view new_name);
  static void Exchange(Dentry& a, Dentry& b);
  // Makes an uncached dentry and its ancestors findable, before something is mounted on it.
  static void Pin(Dentry& dentry);

  // Forgets every dentry that nobody uses.
  static void Shrink();
  static size_t size();

 private:
  struct Lru;
  static Lru& lru();
  static void Admit(Ref<Dentry> dentry);
  static void Evict(Dentry& dentry);
  static void EvictChildren(Dentry& dir);
  static Ref<Dentry> NewChild(Dentry& dir, std::string_view name, Ref<Inode> inode);
  static void Insert(Dentry& dir, Dentry& child);
  static void Leave(Dentry& child);
  static bool Valid(Dentry& dir, Dentry& child, std::string_view name);
};

}  // namespace moat
