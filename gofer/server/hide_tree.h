// Which paths below a root the operator hid from the guest.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/util/error.h"

namespace moat::gofer {

// A directory on the way to a hidden path, or (leaf) the hidden path itself.
struct HideNode {
  bool leaf = false;
  std::map<std::string, std::unique_ptr<HideNode>, std::less<>> children;

  // Null: nothing below `name` is hidden.
  const HideNode* Child(std::string_view name) const {
    auto it = children.find(name);
    return it == children.end() ? nullptr : it->second.get();
  }
};

// Hides by name (also names that do not exist yet) and by identity (what the names lead to, through symbolic links, when the
// gofer starts: so hard links and bind mounts of it are hidden too).
class HideTree {
 public:
  // `path` is relative to the root, with or without a leading slash. kEINVAL for an empty path, "." or "..".
  ErrorOr<void> Add(std::string_view path);
  // Looks up every hidden path below the directory `root_fd` and remembers what it finds there.
  void Resolve(int root_fd);

  // Null if nothing is hidden.
  const HideNode* root() const { return top_.children.empty() ? nullptr : &top_; }
  bool HidesInode(uint64_t dev, uint64_t ino) const { return !inodes_.empty() && inodes_.count({dev, ino}) != 0; }

 private:
  HideNode top_;
  std::vector<std::string> paths_;
  std::set<std::pair<uint64_t, uint64_t>> inodes_;
};

}  // namespace moat::gofer
