#include "fs/tty/terminal.h"

#include "abi/ioctl.h"

namespace moat {

namespace {

class NoJobControl final : public JobControl {
 public:
  ErrorOr<void> CheckRead(Terminal&) override { return {}; }
  ErrorOr<void> CheckChange(Terminal&) override { return {}; }
  ErrorOr<uint64_t> Ioctl(Terminal&, FileDescription&, uint32_t, uint64_t, UserMemory&, bool) override { return kENOTTY; }
  void Opened(Terminal&, bool) override {}
  void Signal(Terminal&, int) override {}
  void HungUp(Terminal&) override {}
  const Credentials* CallerCredentials() override { return nullptr; }
};

NoJobControl none;
std::atomic<JobControl*> current{&none};

}  // namespace

JobControl& JobControl::Get() { return *current.load(std::memory_order_acquire); }
void JobControl::Set(JobControl* job_control) {
  current.store(job_control ? job_control : &none, std::memory_order_release);
}

bool IsJobControlIoctl(uint32_t command) {
  switch (command) {
    case abi::kTIOCGPGRP: case abi::kTIOCSPGRP: case abi::kTIOCGSID: case abi::kTIOCSCTTY: case abi::kTIOCNOTTY:
      return true;
    default: return false;
  }
}

}  // namespace moat
