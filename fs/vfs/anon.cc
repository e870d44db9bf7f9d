#include "fs/vfs/anon.h"

#include <atomic>

#include "abi/stat.h"
#include "base/util/no_destructor.h"
#include "fs/vfs/special.h"
#include "fs/vfs/vfs.h"

namespace moat {

namespace {

class AnonFs final : public FileSystem {
 public:
  std::string_view type() const override { return "anon_inodefs"; }
  Ref<Inode> root() override { return nullptr; }  // never mounted
  ErrorOr<StatFs> Stat() override {
    StatFs s;
    s.type = abi::kANON_INODE_FS_MAGIC;
    return s;
  }
  uint64_t NextIno() { return next_ino_.fetch_add(1, std::memory_order_relaxed); }

 private:
  std::atomic<uint64_t> next_ino_{1};
};

// Its attributes can be changed by fchmod and friends, and matter to nobody else.
class AnonInode final : public Inode {
 public:
  AnonInode(AnonFs& fs, uint32_t type, uint32_t uid, uint32_t gid) : Inode(fs, type) {
    MutexLock lock(mu_);
    attr_.dev = fs.dev();
    attr_.ino = fs.NextIno();
    attr_.mode = type | (type == abi::kS_IFSOCK ? 0777 : 0600);
    attr_.uid = uid;
    attr_.gid = gid;
    attr_.atime = attr_.mtime = attr_.ctime = attr_.btime = vfs::CurrentTime();
  }
  ErrorOr<Attr> GetAttr() override {
    MutexLock lock(mu_);
    return attr_;
  }
  ErrorOr<void> SetAttributes(const SetAttr& set) override {
    if (set.mask & SetAttr::kSize) return kEINVAL;
    MutexLock lock(mu_);
    if (set.mask & SetAttr::kMode) attr_.mode = type() | (set.mode & abi::kS_IALLUGO);
    if (set.mask & SetAttr::kUid) attr_.uid = set.uid;
    if (set.mask & SetAttr::kGid) attr_.gid = set.gid;
    if (set.mask & SetAttr::kAtime) attr_.atime = set.atime;
    if (set.mask & SetAttr::kMtime) attr_.mtime = set.mtime;
    attr_.ctime = vfs::CurrentTime();
    return {};
  }
  // By way of /proc/PID/fd: pipes can be opened once more, as FIFOs.
  ErrorOr<Ref<FileDescription>> Open(const Path& path, uint32_t flags) override {
    if (type() == abi::kS_IFIFO) return OpenFifo(path, flags);
    return kENXIO;
  }

 private:
  Mutex mu_;
  Attr attr_ MOAT_GUARDED_BY(mu_);
};

}  // namespace

Path MakeAnonPath(std::string name, uint32_t type, uint32_t uid, uint32_t gid) {
  static NoDestructor<Ref<AnonFs>> fs(MakeRef<AnonFs>());
  Ref<AnonInode> inode = MakeRef<AnonInode>(**fs, type, uid, gid);
  if (type == abi::kS_IFIFO || type == abi::kS_IFSOCK) {
    ErrorOr<Attr> attr = inode->GetAttr();
    name += ":[" + std::to_string(attr->ino) + "]";
  }
  return Path{nullptr, Dentry::MakeAnonymous(std::move(inode), std::move(name))};
}

}  // namespace moat
