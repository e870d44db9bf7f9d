#include <charconv>

#include "abi/fcntl.h"
#include "abi/stat.h"
#include "abi/tty.h"
#include "fs/memtree/node.h"
#include "fs/tty/pty.h"
#include "fs/tty/pty_pair.h"
#include "fs/vfs/special.h"
#include "fs/vfs/vfs.h"

namespace moat {

namespace {

constexpr uint32_t kPtmxMinor = 2;  // of TTYAUX_MAJOR
constexpr uint64_t kPtmxIno = 2;

class SlaveNode final : public Inode {
 public:
  SlaveNode(FileSystem& fs, Ref<PtyPair> pair) : Inode(fs, abi::kS_IFCHR), pair_(std::move(pair)) {}
  ErrorOr<Attr> GetAttr() override {
    Attr a = pair_->Attributes();
    a.dev = fs().dev();
    return a;
  }
  ErrorOr<void> SetAttributes(const SetAttr& set) override {
    if (set.mask & SetAttr::kSize) return kEINVAL;
    pair_->SetAttributes(set);
    return {};
  }
  ErrorOr<Ref<FileDescription>> Open(const Path&, uint32_t) override { return kENXIO; }  // as a device
  bool StillValid(std::string_view) override { return FindPty(pair_->number()) == pair_; }

 private:
  const Ref<PtyPair> pair_;
};

class PtmxNode final : public Inode {
 public:
  explicit PtmxNode(FileSystem& fs) : Inode(fs, abi::kS_IFCHR), made_(vfs::CurrentTime()) {}
  ErrorOr<Attr> GetAttr() override {
    Attr a;
    a.dev = fs().dev();
    a.ino = kPtmxIno;
    a.mode = abi::kS_IFCHR | 0666;
    a.rdev = abi::MakeDev(abi::kTTYAUX_MAJOR, kPtmxMinor);
    a.atime = a.mtime = a.ctime = a.btime = made_;
    return a;
  }
  ErrorOr<Ref<FileDescription>> Open(const Path&, uint32_t) override { return kENXIO; }  // as a device

 private:
  const TimeSpec made_;
};

class DevptsRoot final : public DirNode {
 public:
  explicit DevptsRoot(FileSystem& fs) : DirNode(fs, 0755, kTreeRootIno), ptmx_(MakeRef<PtmxNode>(fs)) {}

  ErrorOr<Ref<Inode>> Lookup(std::string_view name) override {
    if (name == "ptmx") return Ref<Inode>(ptmx_);
    int number = -1;
    auto [end, error] = std::from_chars(name.data(), name.data() + name.size(), number);
    if (error != std::errc() || end != name.data() + name.size() || name != std::to_string(number)) return kENOENT;
    Ref<PtyPair> pair = FindPty(number);
    if (!pair) return kENOENT;
    return Ref<Inode>(MakeRef<SlaveNode>(fs(), std::move(pair)));
  }

  ErrorOr<std::vector<Listed>> List(int64_t from, size_t limit) override {
    std::vector<Listed> out;
    if (from == kFirstPosition) out.push_back({"ptmx", kPtmxIno, abi::kS_IFCHR, kFirstPosition});
    for (int number : PtyNumbers()) {
      int64_t position = number + kFirstPosition + 1;
      if (position < from) continue;
      if (out.size() >= limit) break;
      out.push_back({std::to_string(number), static_cast<uint64_t>(number) + 3, abi::kS_IFCHR, position});
    }
    return out;
  }

 private:
  const Ref<PtmxNode> ptmx_;
};

ErrorOr<Ref<FileDescription>> OpenPtmx(const Path& path, uint32_t flags) {
  const Credentials* creds = JobControl::Get().CallerCredentials();
  Ref<PtyPair> pair = TRY(NewPty(creds ? creds->fsuid : 0, creds ? creds->fsgid : 0));
  return pair->OpenMaster(path, flags);
}

ErrorOr<Ref<FileDescription>> OpenPts(const Path& path, uint32_t flags) {
  uint64_t rdev = TRY(path.dentry->inode()->GetAttr()).rdev;
  Ref<PtyPair> pair = FindPty(static_cast<int>(abi::DevMinor(rdev)));
  if (!pair) return kEIO;
  return pair->OpenSlave(path, flags);
}

}  // namespace

void RegisterPtyDevices() {
  RegisterCharDevice(abi::kTTYAUX_MAJOR, kPtmxMinor, 1, OpenPtmx);
  RegisterCharDevice(abi::kUNIX98_PTY_SLAVE_MAJOR, 0, kMaxPtys, OpenPts);
}

Ref<FileSystem> MakeDevptsFs() {
  Ref<TreeFs> fs = MakeRef<TreeFs>("devpts", abi::kDEVPTS_SUPER_MAGIC);
  fs->set_root(MakeRef<DevptsRoot>(*fs));
  return fs;
}

}  // namespace moat
