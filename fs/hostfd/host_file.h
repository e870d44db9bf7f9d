// A host descriptor that the guest was given: stdio. Files, pipes, sockets, devices, terminals.
//
// Nothing on the host's open file description is changed (O_NONBLOCK would show in the caller's shell): calls that could wait
// are made with RWF_NOWAIT, or, where the host's file has no such mode, on the offload pool after poll said ready.
#pragma once

#include <cstdint>

#include "base/util/unique_fd.h"
#include "fs/vfs/file_description.h"

namespace moat {

class HostFile final : public FileDescription {
 public:
  // Takes `fd`. kEBADF, or what fstat says.
  static ErrorOr<Ref<HostFile>> Create(UniqueFd fd);
  ~HostFile() override;

  int fd() const { return fd_.get(); }
  bool is_tty() const { return tty_; }

  ErrorOr<size_t> TryRead(IoSink& dst, int64_t* offset, IoFlags flags) override;
  ErrorOr<size_t> TryWrite(IoSource& src, int64_t* offset, IoFlags flags) override;
  EventMask Readiness() override;
  WaitQueue* wait_queue() override { return regular_ ? nullptr : &queue_; }
  bool pollable() const override { return !regular_; }
  bool seekable() const override { return regular_; }
  ErrorOr<int64_t> SeekFrom(int64_t offset, int whence) override;
  ErrorOr<uint64_t> Ioctl(uint32_t command, uint64_t arg, UserMemory& memory) override;
  ErrorOr<void> Sync(bool data_only) override;
  ErrorOr<HostBacking> Map(uint64_t offset, uint64_t length, bool shared_writable) override;

 private:
  HostFile(UniqueFd fd, Path path, uint32_t flags, uint32_t type, bool tty);
  bool ReadyNow(EventMask events);
  ErrorOr<size_t> ReadHost(void* buffer, size_t n, int64_t offset);
  ErrorOr<size_t> WriteHost(const void* buffer, size_t n, int64_t offset);

  UniqueFd fd_;
  const bool regular_;
  const bool tty_;
  WaitQueue queue_;
};

}  // namespace moat
