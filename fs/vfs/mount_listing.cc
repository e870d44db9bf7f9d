// The text of /proc/PID/mounts and mountinfo (proc_pid_mountinfo(5)).
#include <string>

#include "abi/stat.h"
#include "fs/vfs/mount_namespace.h"
#include "fs/vfs/path_walk.h"

namespace moat {

namespace {

// Space, tab, newline and backslash as \ooo, so that fields stay fields.
std::string Escape(std::string_view text) {
  std::string out;
  for (char c : text) {
    if (c == ' ' || c == '\t' || c == '\n' || c == '\\') {
      out += '\\';
      out += static_cast<char>('0' + (c >> 6));
      out += static_cast<char>('0' + ((c >> 3) & 7));
      out += static_cast<char>('0' + (c & 7));
    } else {
      out += c;
    }
  }
  return out;
}

std::string Options(uint32_t flags) {
  std::string out = flags & kMountReadOnly ? "ro" : "rw";
  if (flags & kMountNoSuid) out += ",nosuid";
  if (flags & kMountNoDev) out += ",nodev";
  if (flags & kMountNoExec) out += ",noexec";
  if (flags & kMountNoAtime) out += ",noatime";
  if (flags & kMountNoDirAtime) out += ",nodiratime";
  if (flags & kMountRelatime) out += ",relatime";
  if (flags & kMountNoSymfollow) out += ",nosymfollow";
  return out;
}

std::string FsOptions(Mount& m) {
  std::string options = m.fs().ShowOptions();
  return options.empty() ? options : "," + options;
}

// The mount's root as a path within its file system.
std::string RootInFs(const Mount& m) {
  std::string path;
  for (Ref<Dentry> d = m.root(); !d->is_root(); d = d->parent()) path = "/" + d->name() + path;
  return path.empty() ? "/" : path;
}

std::string Source(const Mount& m) { return m.source().empty() ? "none" : Escape(m.source()); }

}  // namespace

std::string MountNamespace::FormatMounts(const Path& root) const {
  std::string out;
  for (const Ref<Mount>& m : List()) {
    PathString place = DPath(root, Path{m, m->root()});
    if (!place.reachable) continue;
    out += Source(*m) + " " + Escape(place.text) + " " + std::string(m->fs().type()) + " " + Options(m->flags()) +
           FsOptions(*m) + " 0 0\n";
  }
  return out;
}

std::string MountNamespace::FormatMountInfo(const Path& root) const {
  constexpr uint64_t kNoParent = 1;  // the invisible mount below a namespace's root
  std::string out;
  for (const Ref<Mount>& m : List()) {
    PathString place = DPath(root, Path{m, m->root()});
    if (!place.reachable) continue;
    Path up{m, m->root()};
    uint64_t parent = MountTable::FollowUp(up) ? up.mount->id() : kNoParent;
    uint64_t dev = m->fs().dev();
    out += std::to_string(m->id()) + " " + std::to_string(parent) + " " + std::to_string(abi::DevMajor(dev)) + ":" +
           std::to_string(abi::DevMinor(dev)) + " " + Escape(RootInFs(*m)) + " " + Escape(place.text) + " " +
           Options(m->flags()) + " - " + std::string(m->fs().type()) + " " + Source(*m) + " " +
           (m->flags() & kMountReadOnly ? "ro" : "rw") + FsOptions(*m) + "\n";
  }
  return out;
}

}  // namespace moat
