// The terminal of the host that the sandbox was started on: the guest's /dev/console.
#pragma once

#include "fs/hostfd/host_end.h"
#include "fs/tty/terminal.h"

namespace moat {

class HostTerminal final : public Terminal {
 public:
  // The one of `end`, which is a terminal: the same for every descriptor of the same host terminal.
  static Ref<HostTerminal> Of(const Ref<HostEnd>& end);

  uint64_t rdev() override;  // 5:1
  bool StopsBackgroundOutput() override;
  ErrorOr<Ref<FileDescription>> OpenAgain(const Path& path, uint32_t flags) override;

 private:
  explicit HostTerminal(Ref<HostEnd> end) : end_(std::move(end)) {}
  const Ref<HostEnd> end_;
};

// Makes the console (5:1) known to open(2): it is `terminal`.
void RegisterConsole(Ref<Terminal> terminal);

}  // namespace moat
