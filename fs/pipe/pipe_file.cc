#include "fs/pipe/pipe_file.h"

#include "abi/fcntl.h"
#include "abi/ioctl.h"
#include "abi/poll.h"
#include "abi/stat.h"
#include "fs/vfs/anon.h"
#include "fs/vfs/special.h"

namespace moat {

namespace {

int AccessOf(uint32_t flags) {
  switch (flags & abi::kO_ACCMODE) {
    case abi::kO_RDONLY: return 1;
    case abi::kO_WRONLY: return 2;
    default: return 3;
  }
}

}  // namespace

PipeFile::PipeFile(Ref<Pipe> pipe, const Path& path, uint32_t flags)
    : FileDescription(path, flags), pipe_(std::move(pipe)), access_(AccessOf(flags)) {
  if (reads()) pipe_->AddReader();
  if (writes()) pipe_->AddWriter();
}

PipeFile::~PipeFile() {
  if (reads()) pipe_->DropReader();
  if (writes()) pipe_->DropWriter();
}

ErrorOr<size_t> PipeFile::TryRead(IoSink& dst, int64_t*, IoFlags) { return pipe_->Read(dst); }

ErrorOr<size_t> PipeFile::TryWrite(IoSource& src, int64_t*, IoFlags) {
  return pipe_->Write(src, (flags() & abi::kO_DIRECT) != 0);
}

EventMask PipeFile::Readiness() {
  EventMask events = 0;
  if (reads()) {
    if (!pipe_->empty()) events |= abi::kPOLLIN | abi::kPOLLRDNORM;
    bool early = no_hangup_before_ != 0 && no_hangup_before_ - 1 == pipe_->writer_opens();
    if (pipe_->writers() == 0 && !early) events |= abi::kPOLLHUP;
  }
  if (writes()) {
    if (!pipe_->full()) events |= abi::kPOLLOUT | abi::kPOLLWRNORM;
    if (pipe_->readers() == 0) events |= abi::kPOLLERR;
  }
  return events;
}

ErrorOr<uint64_t> PipeFile::Ioctl(uint32_t command, uint64_t arg, UserMemory& memory) {
  if (command != abi::kFIONREAD) return kENOTTY;
  TRY(memory.Write(arg, static_cast<int32_t>(pipe_->bytes())));
  return uint64_t{0};
}

ErrorOr<uint64_t> PipeFile::Fcntl(int command, uint64_t arg) {
  switch (command) {
    case abi::kF_SETPIPE_SZ: return TRY(pipe_->Resize(static_cast<uint32_t>(arg)));
    case abi::kF_GETPIPE_SZ: return pipe_->capacity();
    default: return kEINVAL;
  }
}

ErrorOr<void> PipeFile::FinishOpen() {
  if (!waits_for_partner_) return {};
  uint32_t opens = reads() ? pipe_->writer_opens() : pipe_->reader_opens();
  if (opens == partner_opens_) return kEAGAIN;
  return {};
}

PipeEnds MakePipe(uint32_t flags, uint32_t uid, uint32_t gid) {
  Ref<Pipe> pipe = MakeRef<Pipe>();
  Path path = MakeAnonPath("pipe", abi::kS_IFIFO, uid, gid);
  path.dentry->inode()->set_attachment(pipe);  // opened again through /proc/PID/fd it is this one
  uint32_t kept = flags & abi::kO_NONBLOCK;
  return {MakeRef<PipeFile>(pipe, path, abi::kO_RDONLY | kept),
          MakeRef<PipeFile>(pipe, path, abi::kO_WRONLY | kept | (flags & abi::kO_DIRECT))};
}

ErrorOr<Ref<FileDescription>> OpenFifoFile(const Path& path, uint32_t flags) {
  Inode& inode = *path.dentry->inode();
  Ref<Pipe> pipe = RefCast<Pipe>(inode.attachment());
  if (!pipe) pipe = RefCast<Pipe>(inode.AttachOnce(MakeRef<Pipe>()));
  if (!pipe) return kENXIO;
  // A pipe without a name, opened once more through /proc/PID/fd, waits for nobody.
  if (!path.mount) return MakeRef<PipeFile>(pipe, path, flags);
  bool nonblocking = (flags & abi::kO_NONBLOCK) != 0;
  int access = AccessOf(flags);
  if (access == 2 && nonblocking && pipe->readers() == 0) return kENXIO;
  // Counted before this end shows itself: the other end may come right after.
  uint32_t writer_opens = pipe->writer_opens(), reader_opens = pipe->reader_opens();
  Ref<PipeFile> file = MakeRef<PipeFile>(pipe, path, flags);
  if (access == 1 && pipe->writers() == 0) {
    if (nonblocking) {
      file->no_hangup_before_ = writer_opens + 1;
    } else {
      file->waits_for_partner_ = true;
      file->partner_opens_ = writer_opens;
    }
  } else if (access == 2 && pipe->readers() == 0) {
    file->waits_for_partner_ = true;
    file->partner_opens_ = reader_opens;
  }
  return file;
}

void RegisterFifos() { RegisterFifoOpener(OpenFifoFile); }

}  // namespace moat
