#include "fs/proc/mem_file.h"

#include <algorithm>

#include "abi/stat.h"
#include "fs/proc/task_node.h"
#include "fs/vfs/file_description.h"
#include "fs/vfs/permissions.h"

namespace moat::proc {

namespace {

constexpr size_t kChunk = 64 * 1024;

// File offsets are addresses. Reads and writes are a debugger's: protection does not stop them (FOLL_FORCE).
class MemDescription final : public FileDescription {
 public:
  MemDescription(const Path& path, uint32_t flags, ProcSource& source, TaskKey key)
      : FileDescription(path, flags), source_(source), key_(key) {}

  ErrorOr<size_t> TryRead(IoSink& dst, int64_t* offset, IoFlags) override {
    std::vector<std::byte> buffer(std::min(dst.remaining(), kChunk));
    size_t done = 0;
    while (dst.remaining() > 0) {
      size_t want = std::min(dst.remaining(), buffer.size());
      ErrorOr<size_t> n = source_.ReadMemory(key_, static_cast<UserAddr>(*offset), std::span(buffer).first(want));
      if (!n.ok()) return done ? ErrorOr<size_t>(done) : Fault(n.error());
      if (*n == 0) break;
      size_t put = TRY(dst.Put(std::span(buffer).first(*n)));
      done += put;
      *offset += static_cast<int64_t>(put);
      if (put < want) break;
    }
    return done;
  }

  ErrorOr<size_t> TryWrite(IoSource& src, int64_t* offset, IoFlags) override {
    std::vector<std::byte> buffer(std::min(src.remaining(), kChunk));
    size_t done = 0;
    while (src.remaining() > 0) {
      size_t got = TRY(src.Get(buffer));
      ErrorOr<size_t> n = source_.WriteMemory(key_, static_cast<UserAddr>(*offset), std::span(buffer).first(got));
      if (!n.ok()) return done ? ErrorOr<size_t>(done) : Fault(n.error());
      done += *n;
      *offset += static_cast<int64_t>(*n);
      if (*n < got) {
        src.Unget(got - *n);
        break;
      }
    }
    return done;
  }

  ErrorOr<int64_t> SeekFrom(int64_t, int) override { return kEINVAL; }

 private:
  // A hole is EIO; a process whose memory is gone reads as empty.
  static ErrorOr<size_t> Fault(Errno error) {
    if (error == kESRCH) return size_t{0};
    return kEIO;
  }

  ProcSource& source_;
  const TaskKey key_;
};

class MemNode final : public TaskNode<Node> {
 public:
  MemNode(FileSystem& fs, const Context& context, TaskKey key, uint64_t ino)
      : TaskNode(fs, context, key, abi::kS_IFREG | 0600, ino) {}
  ErrorOr<void> CheckAccess(const Credentials&, int may) override {
    return may & (kMayRead | kMayWrite) ? source().MayInspect(key()) : ErrorOr<void>();
  }
  ErrorOr<Ref<FileDescription>> Open(const Path& path, uint32_t flags) override {
    if (!source().Alive(key())) return kESRCH;
    return Ref<FileDescription>(MakeRef<MemDescription>(path, flags, source(), key()));
  }
};

}  // namespace

Ref<Inode> MakeMemFile(FileSystem& fs, const Context& context, TaskKey key, uint64_t ino) {
  return MakeRef<MemNode>(fs, context, key, ino);
}

}  // namespace moat::proc
