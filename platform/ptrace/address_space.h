// A guest address space on the ptrace platform: a stub process, whose memory is the guest's. Tracer thread only.
#pragma once

#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "platform/platform.h"
#include "platform/ptrace/express.h"
#include "platform/ptrace/host_thread.h"
#include "platform/ptrace/pending_maps.h"

namespace moat::abi {
struct SigInfo;
}

namespace moat::ptrace {

class PtracePlatform;
class PtraceThread;

class PtraceAddressSpace final : public AddressSpace {
 public:
  // `leader` is the only thread of its process, stopped.
  PtraceAddressSpace(PtracePlatform& platform, std::unique_ptr<HostThread> leader);
  ~PtraceAddressSpace() override;

  ErrorOr<void> Map(UserAddr addr, uint64_t length, int prot, int flags, const MapSource& source) override;
  ErrorOr<void> Unmap(UserAddr addr, uint64_t length) override;
  ErrorOr<void> Protect(UserAddr addr, uint64_t length, int prot) override;
  ErrorOr<void> Remap(UserAddr addr, uint64_t old_length, UserAddr new_addr, uint64_t new_length, int flags) override;
  ErrorOr<void> Advise(UserAddr addr, uint64_t length, int advice) override;
  ErrorOr<size_t> CopyIn(UserAddr src, std::span<std::byte> dst) override;
  ErrorOr<size_t> CopyOut(UserAddr dst, std::span<const std::byte> src) override;
  ErrorOr<void> Touch(UserAddr addr) override;
  ErrorOr<uint32_t> Atomic(AtomicOp op, UserAddr addr, uint32_t arg, uint32_t expected) override;
  ErrorOr<uint64_t> HostCall(GuestThread* thread, int nr, std::span<const uint64_t> args) override;
  ErrorOr<void> Residency(UserAddr addr, std::span<uint8_t> out) override;
  uint64_t CpuTimeNs() override;
  ErrorOr<void> SetStackLimit(uint64_t bytes) override;
  ErrorOr<std::unique_ptr<GuestThread>> NewThread(GuestThread& from) override;
  ErrorOr<Forked> Fork(GuestThread& from) override;

  HostThread& leader() { return *threads_.front(); }
  bool always_single_threaded() const { return always_single_threaded_; }
  std::optional<uint64_t> ThreadCpuNs(HostThread& thread);
  // If the stop is a fault on memory that the host does not know yet: makes the mappings known and returns true; the thread has
  // only to go on.
  bool MendFault(HostThread& thread, const abi::SigInfo& info);
  // The guest thread that ran on `host` was destroyed.
  void OnThreadGone(HostThread& host);

 private:
  struct Borrowed;
  Borrowed Borrow();
  ErrorOr<uint64_t> Command(StubEntry entry, const StubArgs& args);
  ErrorOr<uint64_t> SyscallCommand(int nr, std::initializer_list<uint64_t> args);
  bool MayWait(const PendingMap& map) const;
  ErrorOr<void> MapNow(const PendingMap& map);
  ErrorOr<uint64_t> MapFile(const PendingMap& map);
  void MakePending();
  void MapLists(std::span<const PendingMap> maps);
  ErrorOr<uint64_t> MapOneList(const void* list, size_t count, std::span<const int> fds);
  // Makes what waits known if any of the range waits; whether it did.
  bool MakePendingIn(UserAddr addr, uint64_t length);
  template <class CopyOnce>
  ErrorOr<size_t> Copy(UserAddr addr, size_t size, CopyOnce copy);
  bool InRange(UserAddr addr, uint64_t length) const;
  size_t Accessible(UserAddr addr, size_t length) const;
  ErrorOr<void> ReadScratch(std::span<std::byte> out);

  // Code that is about to be changed or to go gets its own bytes back.
  void RestoreCode(UserAddr addr, uint64_t length);

  PtracePlatform& platform_;
  Express express_;
  std::vector<std::unique_ptr<HostThread>> threads_;  // the process's first thread first: it lives as long as the process
  PendingMaps pending_;
  uint64_t times_mended_ = 0;  // how often pending_ was made known
  bool always_single_threaded_ = true;
  uint64_t cpu_ns_ = 0;  // the last reading, kept when the process is gone
};

}  // namespace moat::ptrace
