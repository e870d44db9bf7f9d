// One pseudo-terminal.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "base/fiber/executor.h"
#include "base/kern/wait_queue.h"
#include "base/sync/mutex.h"
#include "fs/tty/line_discipline.h"
#include "fs/tty/terminal.h"

namespace moat {

class PtyPair final : public Terminal {
 public:
  PtyPair(int number, uint32_t uid, uint32_t gid);

  int number() const { return number_; }
  uint64_t rdev() override;
  bool StopsBackgroundOutput() override;
  ErrorOr<Ref<FileDescription>> OpenAgain(const Path& path, uint32_t flags) override { return OpenSlave(path, flags); }

  // kEIO: locked, or the master is gone. `flags` with O_NOCTTY.
  ErrorOr<Ref<FileDescription>> OpenSlave(const Path& path, uint32_t flags);
  Ref<FileDescription> OpenMaster(const Path& path, uint32_t flags);

  // Owner and mode of the slave's name.
  Attr Attributes();
  void SetAttributes(const SetAttr& set);

 private:
  friend class PtyMasterFile;
  friend class PtySlaveFile;
  class Effects;
  static constexpr size_t kOutputSize = 16384;  // bytes on their way to the master

  ErrorOr<size_t> MasterRead(IoSink& dst);
  ErrorOr<size_t> MasterWrite(IoSource& src);
  ErrorOr<size_t> SlaveRead(IoSink& dst, bool nonblocking);
  ErrorOr<size_t> SlaveWrite(IoSource& src);
  EventMask MasterReadiness();
  EventMask SlaveReadiness();
  // The ioctls that both ends know; kENOTTY for others.
  ErrorOr<uint64_t> CommonIoctl(uint32_t command, uint64_t arg, UserMemory& memory, bool master);
  ErrorOr<uint64_t> MasterIoctl(FileDescription& file, uint32_t command, uint64_t arg, UserMemory& memory);
  ErrorOr<uint64_t> SlaveIoctl(FileDescription& file, uint32_t command, uint64_t arg, UserMemory& memory);
  ErrorOr<void> SetTermios(uint32_t command, const abi::Termios2& t, bool master);
  void Flush(int what, bool master);
  void SetFlow(int what);
  void MasterClosed();
  void SlaveClosed();

  size_t LeastForRead() const MOAT_REQUIRES(mu_);
  // A read without enough input: kEAGAIN, or the result of a VTIME that ran out (0: end with what is there).
  bool TimedOut(bool have_some) MOAT_REQUIRES(mu_);

  const int number_;
  WaitQueue master_queue_, slave_queue_;
  Mutex mu_;
  LineDiscipline line_ MOAT_GUARDED_BY(mu_);
  std::string output_ MOAT_GUARDED_BY(mu_);  // to the master
  abi::Winsize size_ MOAT_GUARDED_BY(mu_){};
  bool locked_ MOAT_GUARDED_BY(mu_) = true;
  bool master_open_ MOAT_GUARDED_BY(mu_) = true;
  bool slave_was_open_ MOAT_GUARDED_BY(mu_) = false;
  int slaves_ MOAT_GUARDED_BY(mu_) = 0;
  bool packet_mode_ MOAT_GUARDED_BY(mu_) = false;
  uint8_t packet_status_ MOAT_GUARDED_BY(mu_) = 0;
  int64_t read_deadline_ MOAT_GUARDED_BY(mu_) = 0;  // of a read that waits with VTIME; 0: none
  std::unique_ptr<Timer> timer_ MOAT_GUARDED_BY(mu_);
  Attr attr_ MOAT_GUARDED_BY(mu_);
};

// The pair with this number, or null. Pairs leave the table when their master closes.
Ref<PtyPair> FindPty(int number);
std::vector<int> PtyNumbers();
ErrorOr<Ref<PtyPair>> NewPty(uint32_t uid, uint32_t gid);  // kENOSPC

}  // namespace moat
