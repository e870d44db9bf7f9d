#include "fs/proc/locks_text.h"

#include "abi/stat.h"
#include "fs/proc/format.h"
#include "fs/vfs/inode.h"

namespace moat::proc {

std::string LockLine(int number, const FileLocks::Entry& entry, const Attr& attr) {
  const RecordLock& lock = entry.lock;
  const char* kind = entry.flock ? "FLOCK " : lock.pid < 0 ? "OFDLCK" : "POSIX ";
  std::string line = Format("%d: %s ADVISORY  %s %d %02x:%02x:%llu %lld ", number, kind, lock.exclusive ? "WRITE" : "READ",
                            lock.pid, abi::DevMajor(attr.dev), abi::DevMinor(attr.dev),
                            static_cast<unsigned long long>(attr.ino), static_cast<long long>(lock.range.start));
  if (lock.range.end == INT64_MAX) return line + "EOF\n";
  return line + std::to_string(lock.range.end) + "\n";
}

std::string LocksTable() {
  std::string out;
  int number = 0;
  for (const Ref<Inode>& inode : FileLocks::LockedInodes()) {
    FileLocks* locks = inode->locks_or_null();
    std::list<FileLocks::Entry> all = locks ? locks->List() : std::list<FileLocks::Entry>();
    if (all.empty()) continue;
    Attr attr = inode->GetAttr().value_or(Attr{});
    for (const FileLocks::Entry& entry : all) out += LockLine(++number, entry, attr);
  }
  return out;
}

}  // namespace moat::proc
