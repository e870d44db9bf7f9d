#include "fs/dev/dev_tree.h"

#include "abi/stat.h"
#include "abi/tty.h"
#include "fs/tmpfs/tmpfs.h"

namespace moat {

namespace {

constexpr uint64_t kMaxPages = 1024;  // of files that guests make in /dev

struct DeviceNode {
  const char* name;
  uint32_t major, minor, mode;
};
constexpr DeviceNode kNodes[] = {
    {"null", abi::kMEM_MAJOR, 3, 0666},  {"zero", abi::kMEM_MAJOR, 5, 0666},    {"full", abi::kMEM_MAJOR, 7, 0666},
    {"random", abi::kMEM_MAJOR, 8, 0666}, {"urandom", abi::kMEM_MAJOR, 9, 0666}, {"tty", abi::kTTYAUX_MAJOR, 0, 0666},
    {"console", abi::kTTYAUX_MAJOR, 1, 0620},
};

struct DeviceLink {
  const char *name, *target;
};
constexpr DeviceLink kLinks[] = {
    {"fd", "/proc/self/fd"},          {"stdin", "/proc/self/fd/0"}, {"stdout", "/proc/self/fd/1"},
    {"stderr", "/proc/self/fd/2"},    {"core", "/proc/kcore"},      {"ptmx", "pts/ptmx"},
};

}  // namespace

ErrorOr<Ref<FileSystem>> MakeDevTree() {
  Ref<Tmpfs> fs = Tmpfs::Create({.limit = MakeRef<MemoryLimit>(kMaxPages), .mode = 0755, .show_options = "mode=755"});
  Ref<Inode> root = fs->root();
  TaskMutexLock lock(root->lock());
  for (const DeviceNode& n : kNodes) {
    TRY(root->Mknod(n.name, abi::kS_IFCHR, abi::MakeDev(n.major, n.minor), NewInode{n.mode, 0, 0}));
  }
  for (const DeviceLink& l : kLinks) TRY(root->Symlink(l.name, l.target, NewInode{0777, 0, 0}));
  for (const char* dir : {"pts", "shm", "mqueue"}) TRY(root->Mkdir(dir, NewInode{0755, 0, 0}));
  return Ref<FileSystem>(std::move(fs));
}

}  // namespace moat
