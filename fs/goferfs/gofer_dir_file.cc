#include "fs/goferfs/gofer_dir_file.h"

#include "abi/stat.h"
#include "base/host/time.h"
#include "fs/goferfs/gofer_call.h"

namespace moat {

namespace {
constexpr uint8_t kTypeDirectory = abi::kS_IFDIR >> 12;  // DT_DIR
constexpr uint32_t kReplyBytes = 64 * 1024;
}  // namespace

Ref<GoferDirFile> GoferDirFile::Create(const Path& path, uint32_t flags, Ref<GoferInode> inode) {
  return Ref<GoferDirFile>(new GoferDirFile(path, flags, std::move(inode)), AdoptRef{});
}

GoferDirFile::GoferDirFile(const Path& path, uint32_t flags, Ref<GoferInode> inode)
    : FileDescription(path, flags), inode_(std::move(inode)) {
  starts_.push_back({2, 0});
}

GoferDirFile::~GoferDirFile() { inode_->gofer_fs().client().CloseHandle(stream_); }

void GoferDirFile::Rewind() {
  inode_->gofer_fs().client().CloseHandle(std::exchange(stream_, 0));
  entries_.clear();
  first_ = 2;
  starts_.assign(1, {2, 0});
  at_end_ = false;
}

ErrorOr<GoferClient::Reply> GoferDirFile::Request(uint64_t cookie) {
  if (stream_ == 0) {
    if (cookie != 0) return kEIO;  // a directory without a stream has one batch
    return inode_->StartListing(kReplyBytes);
  }
  gofer::Writer w;
  w.Put(gofer::ReadDirRequest{{.handle = stream_}, kReplyBytes, 0, cookie});
  w.PutString("");
  return inode_->gofer_fs().client().Call(gofer::Op::kReadDir, w);
}

// Reads batch number `batch`, whose start is known.
ErrorOr<void> GoferDirFile::Fetch(size_t batch) {
  GoferFs& fs = inode_->gofer_fs();
  Start start = starts_[batch];
  GoferClient::Reply reply = TRY(Request(start.cookie));
  gofer::Reader in = reply.body();
  auto head = TRY(in.Get<gofer::ReadDirReply>());
  stream_ = head.stream;
  inode_->AdoptHandle(head.directory);
  entries_.clear();
  first_ = start.ordinal;
  uint64_t next = start.cookie;
  int64_t now = host::NowMonotonicNs();
  for (uint32_t i = 0; i < head.count; ++i) {
    auto e = TRY(in.Get<gofer::DirEntry>());
    std::string_view name = TRY(in.GetString(gofer::kMaxName));
    TRY(gofer::CheckName(name));
    entries_.push_back({std::string(name), e.ino, static_cast<uint8_t>(e.type)});
    next = e.next;
    if (e.has_attr && fs.options().cache != GoferCache::kRevalidate) {
      fs.names().Put(inode_->serial(), name, {nullptr, false, e.attr, now});
    }
  }
  if (batch + 1 == starts_.size()) {
    if (head.end) at_end_ = true;
    else starts_.push_back({start.ordinal + head.count, next});
  }
  return {};
}

ErrorOr<bool> GoferDirFile::Load(int64_t ordinal) {
  for (;;) {
    if (ordinal >= first_ && ordinal < first_ + static_cast<int64_t>(entries_.size())) return true;
    size_t batch = starts_.size() - 1;
    while (batch > 0 && starts_[batch].ordinal > ordinal) --batch;
    bool last = batch + 1 == starts_.size();
    if (last && at_end_ && first_ == starts_[batch].ordinal && ordinal >= first_) return false;
    TRY(Fetch(batch));
    // A batch before the last that no longer reaches as far as it did: the directory shrank.
    if (!last && ordinal >= first_ + static_cast<int64_t>(entries_.size())) return false;
  }
}

ErrorOr<bool> GoferDirFile::EmitDots(DirSink& sink, int64_t* position) {
  if (*position == 0) {
    if (!sink.Entry(".", inode_->host_ino(), kTypeDirectory, 1)) return false;
    *position = 1;
  }
  if (*position == 1) {
    Ref<GoferInode> parent = inode_->parent();
    uint64_t ino = parent ? parent->host_ino() : inode_->host_ino();
    if (!sink.Entry("..", ino, kTypeDirectory, 2)) return false;
    *position = 2;
  }
  return true;
}

ErrorOr<void> GoferDirFile::ReadDir(DirSink& sink, int64_t* position) {
  if (*position < 0) return kEINVAL;
  TaskMutexLock lock(lock_);
  if (*position == 0) Rewind();
  if (!TRY(EmitDots(sink, position))) return {};
  if (inode_->hidden()) return {};
  while (TRY(Load(*position))) {
    const Entry& e = entries_[static_cast<size_t>(*position - first_)];
    if (!sink.Entry(e.name, e.ino, e.type, *position + 1)) return {};
    ++*position;
  }
  return {};
}

ErrorOr<void> GoferDirFile::Sync(bool data_only) {
  if (inode_->hidden()) return {};
  TRY(inode_->CallOnTarget(gofer::Op::kSync, [data_only](gofer::Writer& w, const gofer::Target& target) {
    w.Put(gofer::TargetRequest{target, data_only ? gofer::kSyncData : 0u, 0});
  }));
  return {};
}

}  // namespace moat
