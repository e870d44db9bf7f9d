// The ends of pipes and open FIFOs.
#pragma once

#include <cstdint>

#include "fs/pipe/pipe.h"
#include "fs/vfs/file_description.h"

namespace moat {

class PipeFile final : public FileDescription {
 public:
  // An end of `pipe` by the access mode of `flags`: reading, writing or both. Counts itself among the readers and writers.
  PipeFile(Ref<Pipe> pipe, const Path& path, uint32_t flags);

  Pipe& pipe() const { return *pipe_; }

  ErrorOr<size_t> TryRead(IoSink& dst, int64_t* offset, IoFlags flags) override;
  ErrorOr<size_t> TryWrite(IoSource& src, int64_t* offset, IoFlags flags) override;
  EventMask Readiness() override;
  WaitQueue* wait_queue() override { return &pipe_->queue(); }
  bool pollable() const override { return true; }
  bool seekable() const override { return false; }
  AsyncKind async_kind() const override { return AsyncKind::kPipe; }
  ErrorOr<uint64_t> Ioctl(uint32_t command, uint64_t arg, UserMemory& memory) override;  // FIONREAD
  ErrorOr<uint64_t> Fcntl(int command, uint64_t arg) override;  // F_SETPIPE_SZ, F_GETPIPE_SZ
  // fifo(7): an end waits until the other one is opened, unless O_NONBLOCK or O_RDWR.
  ErrorOr<void> FinishOpen() override;

 private:
  friend ErrorOr<Ref<FileDescription>> OpenFifoFile(const Path& path, uint32_t flags);
  ~PipeFile() override;
  bool reads() const { return (access_ & 1) != 0; }
  bool writes() const { return (access_ & 2) != 0; }

  const Ref<Pipe> pipe_;
  const int access_;  // 1 reads, 2 writes
  // FIFOs, set before anyone sees the file: how often the other end had been opened before, if this open waits for it.
  bool waits_for_partner_ = false;
  uint32_t partner_opens_ = 0;
  // No POLLHUP before the first writer came (a reader opened with O_NONBLOCK): writer_opens() then, 0: does not matter.
  uint32_t no_hangup_before_ = 0;
};

struct PipeEnds {
  Ref<PipeFile> read, write;
};
// pipe2(2): `flags` O_NONBLOCK, O_DIRECT.
PipeEnds MakePipe(uint32_t flags, uint32_t uid, uint32_t gid);

// Opens the FIFO at `path`; kENXIO for O_WRONLY|O_NONBLOCK without a reader. The file may need FinishOpen.
ErrorOr<Ref<FileDescription>> OpenFifoFile(const Path& path, uint32_t flags);
// Makes the vfs open FIFOs this way. At start-up.
void RegisterFifos();

}  // namespace moat
