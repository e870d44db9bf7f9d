// A child process of `moat` that becomes the sentry or the gofer: clone with namespaces, wait for the
// parent's word, drop what it must not have, exec by descriptor.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/util/unique_fd.h"

namespace moat {

struct FdMapping {
  int ours;
  int childs;  // the numbers of one list are 0, 1, 2, ... in any order
};

struct ChildSpec {
  const char* name = "";           // argv[0]
  int program = -1;                // the executable
  uint64_t clone_flags = 0;        // CLONE_NEW*
  uint64_t unshare_flags = 0;      // the same, made by the child while the parent goes on: a network takes half a millisecond
  std::vector<FdMapping> fds;      // everything else is closed
  uint64_t ignored_signals = 0;    // set back to their defaults
  bool as_namespace_root = false;  // become uid and gid 0 of its new user namespace, once they are mapped
  bool private_mounts = false;     // its mount namespace gets no more mounts of the host, nor gives any
  bool empty_root = false;         // its root directory is an empty, read-only file system
};

// Started, not yet told to go on.
class Child {
 public:
  // Throws Failure if clone fails, with the host setting that forbids it where that is known.
  static Child Start(const ChildSpec& spec);

  int pid() const { return pid_; }
  // Lets it go on to exec. It dies if `moat` ends before.
  void Go();
  // Returns when exec has succeeded; throws Failure with the step that did not. (A child that dies on the way returns too:
  // waiting for it tells.)
  void AwaitExec();

 private:
  Child(const char* name, int pid, UniqueFd sync) : name_(name), pid_(pid), sync_(std::move(sync)) {}

  const char* name_;
  int pid_;
  UniqueFd sync_;
};

}  // namespace moat
