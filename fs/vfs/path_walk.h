// From strings to places: path_resolution(7), openat2(2)'s RESOLVE_*.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/kern/credentials.h"
#include "fs/vfs/dentry.h"
#include "fs/vfs/mount.h"

namespace moat {

class MountNamespace;

// Where a task's paths start and in whose name they are walked.
struct WalkContext {
  Path root;
  Path cwd;
  const Credentials& creds;
  MountNamespace& mounts;
};

struct WalkFlags {
  bool follow = true;       // the last component if it is a symlink
  bool directory = false;   // kENOTDIR for anything else
  bool empty_path = false;  // AT_EMPTY_PATH: "" is `start` itself; else kENOENT
  uint64_t resolve = 0;     // RESOLVE_*
};

// Walks `path` from `start` (the root if it begins with a slash). The result exists. kENOENT, kENOTDIR, kEACCES, kELOOP,
// kENAMETOOLONG; kEXDEV and kEAGAIN for RESOLVE_*; what the file system says.
ErrorOr<Path> Walk(const WalkContext& context, const Path& start, std::string_view path, WalkFlags flags = {});

enum class LastType { kNormal, kDot, kDotDot, kRoot };

// What is left of a path when its last component is not walked.
struct WalkedParent {
  Path parent;
  std::string last;  // of kNormal
  LastType type = LastType::kRoot;
  bool trailing_slash = false;
};
ErrorOr<WalkedParent> WalkParent(const WalkContext& context, const Path& start, std::string_view path,
                                 WalkFlags flags = {});

// A walk in steps, for open(2), which must stop before the last component of each symlink it follows.
class Walker {
 public:
  Walker(const WalkContext& context, const Path& start, WalkFlags flags);

  // Sets out on `path`. kENOENT if empty.
  ErrorOr<void> Begin(std::string_view path);
  // Walks all but the last component; then last(), last_type() and trailing_slash() describe that, and place() is its
  // parent.
  ErrorOr<void> ToParent();
  // Walks the last component, following symlinks if `follow`.
  ErrorOr<void> ToEnd(bool follow);
  // Steps to `child` of place() (found by the caller under the directory's lock), crossing mounts.
  ErrorOr<void> EnterChild(Ref<Dentry> child);
  // place() is a symlink, the last component: goes back to its parent and sets out on its target; true if a path is left to
  // walk (ToParent), false if it was a magic link and place() is its target.
  ErrorOr<bool> FollowLast();

  const Path& place() const { return place_; }
  const std::string& last() const { return last_; }
  LastType last_type() const { return last_type_; }
  bool trailing_slash() const { return trailing_slash_; }

 private:
  struct Pending {
    std::string text;
    size_t position = 0;
  };
  // Takes the next component off the pending texts; false if none is left.
  bool Next(std::string_view* component);
  bool MoreToCome() const;
  ErrorOr<void> Step(std::string_view component, bool last, bool follow);
  ErrorOr<void> StepUp();
  ErrorOr<Ref<Dentry>> LookUp(std::string_view name);
  ErrorOr<void> Jump(const Path& to);
  ErrorOr<bool> FollowLink(const Path& link, const Path& directory);
  void Prefetch(std::string_view first);
  ErrorOr<void> CheckSearch();

  const WalkContext& context_;
  const WalkFlags flags_;
  const Path start_;
  Path root_;    // where absolute paths begin and ".." ends
  Path place_;
  Path before_;  // the directory that place_ was entered from, for FollowLast
  std::vector<Pending> pending_;
  int links_ = 0;
  bool prefetched_ = false;
  std::string last_;
  LastType last_type_ = LastType::kRoot;
  bool trailing_slash_ = false;
};

// The string of a place as seen from `root` (d_path): getcwd(2), /proc/self/fd.
struct PathString {
  std::string text;       // without " (deleted)"
  bool reachable = true;  // false: `root` is not above it; then text starts at the namespace's (or detached mount's) root
  bool deleted = false;
  // As readlink of /proc/self/fd shows it.
  std::string Display() const { return deleted ? text + " (deleted)" : text; }
};
PathString DPath(const Path& root, const Path& path);

}  // namespace moat
