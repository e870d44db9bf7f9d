// A directory tree that is served, and how anything in it is reached: always one checked name below a held directory.
#pragma once

#include <cstdint>
#include <memory>
#include <string_view>

#include "abi/stat.h"
#include "base/util/error.h"
#include "base/util/unique_fd.h"
#include "gofer/protocol/messages.h"
#include "gofer/server/hide_tree.h"

namespace moat::gofer {

// Re-opens held descriptors with other rights through /proc/self/fd, which is opened once before the process loses sight of
// /proc. The only place where a magic link is followed.
class Reopener {
 public:
  // Takes the directory /proc/self/fd.
  explicit Reopener(UniqueFd proc_self_fd) : proc_(std::move(proc_self_fd)) {}
  static ErrorOr<Reopener> Create();  // opens /proc/self/fd

  // A new descriptor for the file of `fd`, which must be a regular file or directory (kENXIO else, before any open).
  // `flags` O_*; it never waits for a lease (kEAGAIN).
  ErrorOr<UniqueFd> Reopen(int fd, uint32_t flags) const;
  // The same for a directory that was found to be one.
  ErrorOr<UniqueFd> ReopenDirectory(int fd) const;
  int proc_fd() const { return proc_.get(); }

 private:
  UniqueFd proc_;
};

// The name of `fd` inside the directory proc_fd().
class FdName {
 public:
  explicit FdName(int fd);
  const char* c_str() const { return text_; }

 private:
  char text_[12];
};

struct Root {
  UniqueFd fd;  // O_PATH: a directory, or a single file, FIFO or socket (a bind mount of one)
  bool read_only = true;
  HideTree hide;
  // Filled in by Prepare.
  uint64_t dev = 0;
  int64_t fs_type = 0;

  // Checks that it is no device, of a real file system, and resolves what is hidden. kENOTDIR, kEACCES.
  ErrorOr<void> Prepare();
};

// Something found in a root: an O_PATH descriptor with what it is.
struct Found {
  UniqueFd fd;
  WireAttr attr{};                 // as shown: of an empty file or directory if hidden
  const HideNode* hide = nullptr;  // hidden paths below it, or null
  bool hidden = false;

  uint32_t type() const { return attr.mode & abi::kS_IFMT; }
  bool is_dir() const { return type() == abi::kS_IFDIR; }
  bool is_regular() const { return type() == abi::kS_IFREG; }
};

// True for file systems that show the host's kernel, devices or other users' processes: never served, whatever is mounted
// where. FUSE is served only where the root itself lies on it.
bool IsForbiddenFileSystem(int64_t type);

// The attributes of an open or O_PATH descriptor.
ErrorOr<WireAttr> StatFd(int fd);
// The attributes of `name` in a directory; `flags` AT_*. For listings only: nothing is decided by them.
ErrorOr<WireAttr> StatAt(int dir_fd, const char* name, uint32_t flags);

// Looks `name` up in the directory `dir_fd` of `root`, without following a link or triggering a mount. `dir_dev` is the
// directory's device and `hide` what is hidden in it (or null). kENOENT, kEINVAL (name), ...
ErrorOr<Found> LookupChild(const Root& root, int dir_fd, uint64_t dir_dev, const HideNode* hide, std::string_view name);

}  // namespace moat::gofer
