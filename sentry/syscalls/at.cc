#include "sentry/syscalls/at.h"

#include "abi/capability.h"
#include "abi/signal.h"
#include "fs/vfs/fd_table.h"
#include "fs/vfs/path_walk.h"
#include "sentry/kernel/fs_context.h"
#include "sentry/kernel/thread_group.h"

namespace moat {

ErrorOr<Path> StartOf(Task& t, int dirfd, std::string_view path) {
  if (dirfd == abi::kAT_FDCWD || (!path.empty() && path[0] == '/')) return t.fs().cwd();
  Ref<FileDescription> file = TRY(t.fds().GetRaw(dirfd));
  return file->path();
}

ErrorOr<Path> ResolveAt(Task& t, int dirfd, UserAddr path, uint32_t at_flags) {
  std::string name;
  if (path || !(at_flags & abi::kAT_EMPTY_PATH)) name = TRY(t.mm().ReadPath(path));
  Path start = TRY(StartOf(t, dirfd, name));
  if (name.empty() && (at_flags & abi::kAT_EMPTY_PATH)) return start;  // also of files without a mount
  WalkContext walk = t.WalkView();
  return Walk(walk, start, name, {.follow = !(at_flags & abi::kAT_SYMLINK_NOFOLLOW)});
}

ErrorOr<Path> PathOf(Task& t, int fd) {
  Ref<FileDescription> file = TRY(t.fds().Get(fd));
  return file->path();
}

bool MayTrace(Task& t, Task& target) {
  if (&t.group() == &target.group()) return true;
  const Credentials& me = t.creds();
  if (me.Has(abi::kCAP_SYS_PTRACE)) return true;
  Ref<const Credentials> its = target.creds_ref();
  if (!its || !target.has_memory()) return false;
  const Credentials& it = *its;
  bool same = me.uid == it.euid && me.uid == it.suid && me.uid == it.uid && me.gid == it.egid && me.gid == it.sgid &&
              me.gid == it.gid;
  return same && target.dumpable() == 1 && (it.permitted & ~me.permitted) == 0;
}

bool MaySignal(Task& t, Task& target, int signo) {
  if (&t.group() == &target.group()) return true;
  const Credentials& me = t.creds();
  if (me.Has(abi::kCAP_KILL)) return true;
  Ref<const Credentials> its = target.creds_ref();
  const Credentials& it = *its;
  if (me.euid == it.suid || me.euid == it.uid || me.uid == it.suid || me.uid == it.uid) return true;
  return signo == abi::kSIGCONT && t.group().process_group->session == target.group().process_group->session;
}

}  // namespace moat
