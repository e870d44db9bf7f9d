#include "fs/proc/pagemap.h"

#include <algorithm>
#include <vector>

#include "abi/stat.h"
#include "fs/vfs/file_description.h"
#include "fs/vfs/permissions.h"

namespace moat::proc {

namespace {

constexpr uint64_t kPage = 4096;
constexpr uint64_t kEntry = 8;
constexpr uint64_t kAddressEnd = uint64_t{1} << 47;
constexpr size_t kMaxEntries = 4096;  // at once
constexpr uint64_t kPresent = uint64_t{1} << 63, kFileOrShared = uint64_t{1} << 61;

// Frame numbers are the host's business: they read as 0, as they do without CAP_SYS_ADMIN. What is present is what the host
// has in memory (mincore(2)), so pages of files that this process never touched may count.
class PagemapDescription final : public FileDescription {
 public:
  PagemapDescription(const Path& path, uint32_t flags, ProcSource& source, TaskKey key)
      : FileDescription(path, flags), source_(source), key_(key) {}

  ErrorOr<size_t> TryRead(IoSink& dst, int64_t* offset, IoFlags) override {
    if (*offset % kEntry || dst.remaining() % kEntry) return kEINVAL;
    size_t done = 0;
    while (dst.remaining() > 0) {
      uint64_t at = static_cast<uint64_t>(*offset) / kEntry * kPage;
      if (static_cast<uint64_t>(*offset) >= kAddressEnd / kPage * kEntry) break;
      size_t pages = std::min<uint64_t>({dst.remaining() / kEntry, kMaxEntries, (kAddressEnd - at) / kPage});
      ErrorOr<std::vector<uint64_t>> entries = Entries(at, pages);
      if (!entries.ok()) return done || entries.error() == kESRCH ? ErrorOr<size_t>(done) : entries.error();
      size_t put = TRY(dst.Put(std::as_bytes(std::span(*entries))));
      done += put;
      *offset += static_cast<int64_t>(put);
      if (put < entries->size() * kEntry) break;
    }
    return done;
  }

  ErrorOr<int64_t> SeekFrom(int64_t, int) override { return kEINVAL; }

 private:
  ErrorOr<std::vector<uint64_t>> Entries(uint64_t start, size_t pages) {
    std::vector<uint64_t> out(pages);
    uint64_t end = start + pages * kPage;
    for (const MappingInfo& m : TRY(source_.Mappings(key_))) {
      uint64_t from = std::max(start, m.start), to = std::min(end, m.end);
      if (from >= to) continue;
      std::vector<uint8_t> resident((to - from) / kPage);
      if (!source_.Residency(key_, from, resident).ok()) continue;  // unmapped meanwhile
      uint64_t there = kPresent | (m.shared || m.file.dentry ? kFileOrShared : 0);
      for (size_t i = 0; i < resident.size(); ++i) {
        if (resident[i] & 1) out[(from - start) / kPage + i] = there;
      }
    }
    return out;
  }

  ProcSource& source_;
  const TaskKey key_;
};

class PagemapNode final : public TaskNode<Node> {
 public:
  PagemapNode(FileSystem& fs, const Context& context, TaskKey key, uint64_t ino)
      : TaskNode(fs, context, key, abi::kS_IFREG | 0400, ino) {}
  ErrorOr<void> CheckAccess(const Credentials&, int may) override {
    if (may & (kMayWrite | kMayExec)) return kEACCES;
    return may & kMayRead ? source().MayInspect(key()) : ErrorOr<void>();
  }
  ErrorOr<Ref<FileDescription>> Open(const Path& path, uint32_t flags) override {
    if (!source().Alive(key())) return kESRCH;
    return Ref<FileDescription>(MakeRef<PagemapDescription>(path, flags, source(), key()));
  }
};

}  // namespace

Ref<Inode> MakePagemapFile(FileSystem& fs, const Context& context, TaskKey key, uint64_t ino) {
  return MakeRef<PagemapNode>(fs, context, key, ino);
}

}  // namespace moat::proc
