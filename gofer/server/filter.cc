#include "gofer/server/filter.h"

#include "abi/fcntl.h"
#include "abi/mman.h"
#include "abi/stat.h"
#include "base/seccomp/sanitizer_rows.h"

namespace moat::gofer {

namespace {

using seccomp::ArgIs;
using seccomp::ArgLacks;
using seccomp::ArgMaskedIs;
using seccomp::Filter;
using Conditions = std::vector<seccomp::ArgCondition>;

class Rows {
 public:
  explicit Rows(Filter& filter) : filter_(filter) {}
  void operator()(abi::Nr nr, Conditions conditions, const char* site, const char* reason, const char* gain) {
    filter_.rules.push_back({nr, std::move(conditions), site, reason, gain});
  }

 private:
  Filter& filter_;
};

void AddServing(Rows& row, const FilterParams& p) {
  uint64_t socket = static_cast<uint64_t>(p.connection_fd);
  uint64_t proc = static_cast<uint64_t>(p.proc_fd);
  row(abi::kNr_recvfrom, {ArgIs(0, socket)}, "server.cc", "takes requests", "messages of the client");
  row(abi::kNr_sendmsg, {ArgIs(0, socket)}, "server.cc", "replies, passes files", "files to the client");
  row(abi::kNr_openat2, {}, "root.cc", "looks names up", "what the roots hold: mounts and Landlock bound it");
  row(abi::kNr_statx, {}, "root.cc", "attributes", "attributes of reachable files");
  row(abi::kNr_close, {}, "UniqueFd", "lets files go", "nothing");
  row(abi::kNr_fstat, {}, "root.cc Reopen", "checks the type before an open", "nothing");
  row(abi::kNr_openat, {ArgIs(0, proc)}, "root.cc Reopen", "gives a held file other rights",
      "other rights to held files");
  row(abi::kNr_readlinkat, {}, "session_read.cc", "targets of symlinks", "link targets");
  row(abi::kNr_getdents64, {}, "session_read.cc", "lists directories", "names in reachable directories");
  row(abi::kNr_lseek, {}, "session_read.cc", "goes on in a listing", "nothing");
  row(abi::kNr_fstatfs, {}, "root.cc", "recognises pseudo file systems", "nothing");
  row(abi::kNr_fcntl, {ArgIs(1, abi::kF_DUPFD_CLOEXEC)}, "session_read.cc", "a root's first handle", "nothing");
  row(abi::kNr_fgetxattr, {}, "session_xattr.cc", "ACLs, user attributes", "attributes of reachable files");
  row(abi::kNr_flistxattr, {}, "session_xattr.cc", "names of attributes", "the same");
  row(abi::kNr_fsync, {}, "session_write.cc Sync", "fsync of directories", "disk load");
  row(abi::kNr_fdatasync, {}, "session_write.cc Sync", "fsync of directories", "disk load");
  row(abi::kNr_syncfs, {}, "session_write.cc Sync", "syncfs(2) of guests", "disk load");
}

void AddChanges(Rows& row, const FilterParams& p) {
  uint64_t proc = static_cast<uint64_t>(p.proc_fd);
  constexpr const char* kSite = "session_write.cc";
  constexpr const char* kGain = "changes in writable roots";
  row(abi::kNr_mkdirat, {}, kSite, "mkdir", kGain);
  for (uint32_t type : {abi::kS_IFREG, abi::kS_IFIFO, abi::kS_IFSOCK}) {
    row(abi::kNr_mknodat, {ArgMaskedIs(2, abi::kS_IFMT, type)}, kSite, "mknod, never a device", kGain);
  }
  row(abi::kNr_symlinkat, {}, kSite, "symlink", kGain);
  row(abi::kNr_linkat, {ArgIs(0, proc)}, kSite, "link of a held file", kGain);
  row(abi::kNr_unlinkat, {}, kSite, "unlink, rmdir", kGain);
  row(abi::kNr_renameat2, {}, kSite, "rename", kGain);
  row(abi::kNr_fchownat, {ArgIs(4, abi::kAT_EMPTY_PATH)}, kSite, "owner of a held file", kGain);
  row(abi::kNr_fchmodat, {ArgIs(0, proc)}, kSite, "mode of a held file", kGain);
  row(abi::kNr_utimensat, {ArgIs(0, proc)}, kSite, "times of a held file", kGain);
  row(abi::kNr_ftruncate, {}, kSite, "truncate", kGain);
  row(abi::kNr_fsetxattr, {}, "session_xattr.cc", "ACLs, user attributes", kGain);
  row(abi::kNr_fremovexattr, {}, "session_xattr.cc", "ACLs, user attributes", kGain);
}

void AddRunning(Rows& row, const FilterParams& p) {
  constexpr const char* kMalloc = "malloc";
  row(abi::kNr_futex, {}, "Mutex", "locks between threads", "nothing");
  row(abi::kNr_brk, {}, kMalloc, "buffers", "memory");
  row(abi::kNr_mmap, {ArgLacks(2, abi::kPROT_EXEC), ArgMaskedIs(3, abi::kMAP_ANONYMOUS, abi::kMAP_ANONYMOUS)}, kMalloc,
      "buffers", "memory, not executable");
  row(abi::kNr_munmap, {}, kMalloc, "buffers", "nothing");
  row(abi::kNr_mremap, {}, kMalloc, "buffers", "nothing");
  row(abi::kNr_mprotect, {ArgLacks(2, abi::kPROT_EXEC)}, kMalloc, "grows arenas", "nothing");
  row(abi::kNr_madvise, {}, "malloc, gofer_main.cc", "gives memory back", "nothing");
  row(abi::kNr_write, {ArgIs(0, static_cast<uint64_t>(p.log_fd))}, "LOG", "log records", "lines in the log");
  row(abi::kNr_shutdown, {ArgIs(0, static_cast<uint64_t>(p.connection_fd))}, "server.cc", "ends the connection",
      "nothing");
  row(abi::kNr_exit_group, {}, "gofer_main.cc", "the end", "nothing");
}

}  // namespace

seccomp::Filter MakeFilter(const FilterParams& params) {
  Filter filter;
  Rows row(filter);
  AddServing(row, params);
  if (params.writable) AddChanges(row, params);
  AddRunning(row, params);
  seccomp::AddSanitizerRows(filter);
  return filter;
}

}  // namespace moat::gofer
