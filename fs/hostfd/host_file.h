// A host descriptor that the guest was given: stdio. Files, pipes, sockets, devices, terminals.
//
// Nothing on the host's open file description is changed but its position (O_NONBLOCK would show in the caller's shell): calls
// that could wait are made with RWF_NOWAIT, or, where the host's file has no such mode, on the offload pool after poll said
// ready.
#pragma once

#include <cstdint>

#include "base/util/unique_fd.h"
#include "fs/hostfd/host_end.h"
#include "fs/vfs/file_description.h"

namespace moat {

class HostTerminal;

class HostFile final : public FileDescription {
 public:
  // Takes `fd`. kEBADF, or what fstat says. A terminal appears as `console` (its device node's place) if that is not null.
  static ErrorOr<Ref<HostFile>> Create(UniqueFd fd, const Path* console = nullptr);
  // A further open file of the same descriptor. kEACCES if that lacks the access mode of `flags`.
  static ErrorOr<Ref<FileDescription>> OpenAgain(const Ref<HostEnd>& end, const Path& path, uint32_t flags);
  // Whose files they appear to be. Once, before guests run.
  static void SetOwner(uint32_t uid, uint32_t gid);
  ~HostFile() override;

  int fd() const { return end_->fd(); }
  bool is_tty() const { return end_->tty(); }
  Terminal* terminal() override;

  ErrorOr<size_t> TryRead(IoSink& dst, int64_t* offset, IoFlags flags) override;
  ErrorOr<size_t> TryWrite(IoSource& src, int64_t* offset, IoFlags flags) override;
  EventMask Readiness() override;
  WaitQueue* wait_queue() override { return end_->regular() ? nullptr : &end_->queue(); }
  bool pollable() const override { return !end_->regular(); }
  bool seekable() const override { return end_->regular(); }
  AsyncKind async_kind() const override;
  ErrorOr<int64_t> SeekFrom(int64_t offset, int whence) override;
  // The position of a regular file is the host's, which the caller's other programs share.
  int64_t position() const override;
  void set_position(int64_t p) override;
  ErrorOr<uint64_t> Ioctl(uint32_t command, uint64_t arg, UserMemory& memory) override;
  ErrorOr<void> Sync(bool data_only) override;
  ErrorOr<HostBacking> Map(uint64_t offset, uint64_t length, bool shared_writable) override;

 private:
  HostFile(Ref<HostEnd> end, const Path& path, uint32_t flags, bool owns_position);
  ErrorOr<size_t> ReadHost(void* buffer, size_t n, int64_t offset);
  ErrorOr<size_t> WriteHost(const void* buffer, size_t n, int64_t offset);
  ErrorOr<uint64_t> TerminalIoctl(uint32_t command, uint64_t arg, UserMemory& memory);

  const Ref<HostEnd> end_;
  const Ref<HostTerminal> terminal_;  // or null
  const bool owns_position_;          // false: the host's is used
};

}  // namespace moat
