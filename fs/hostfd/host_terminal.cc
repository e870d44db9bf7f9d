#include "fs/hostfd/host_terminal.h"

#include <vector>

#include "abi/fcntl.h"
#include "abi/ioctl.h"
#include "abi/tty.h"
#include "base/host/file.h"
#include "base/sync/mutex.h"
#include "base/util/no_destructor.h"
#include "fs/hostfd/host_file.h"
#include "fs/vfs/special.h"

namespace moat {

namespace {
constexpr uint32_t kConsoleMinor = 1;  // of TTYAUX_MAJOR

struct Known {
  Mutex mu;
  std::vector<std::pair<uint64_t, Ref<HostTerminal>>> terminals MOAT_GUARDED_BY(mu);  // by host device number
};
}  // namespace

Ref<HostTerminal> HostTerminal::Of(const Ref<HostEnd>& end) {
  static NoDestructor<Known> known;
  MutexLock lock(known->mu);
  for (auto& [rdev, terminal] : known->terminals) {
    if (rdev == end->host_rdev()) return terminal;
  }
  Ref<HostTerminal> terminal(new HostTerminal(end), AdoptRef{});
  known->terminals.emplace_back(end->host_rdev(), terminal);
  return terminal;
}

uint64_t HostTerminal::rdev() { return abi::MakeDev(abi::kTTYAUX_MAJOR, kConsoleMinor); }

bool HostTerminal::StopsBackgroundOutput() {
  abi::Termios t;
  return host::Ioctl(end_->fd(), abi::kTCGETS, &t).ok() && (t.c_lflag & abi::kTOSTOP);
}

ErrorOr<Ref<FileDescription>> HostTerminal::OpenAgain(const Path& path, uint32_t flags) {
  return HostFile::OpenAgain(end_, path, flags);
}

void RegisterConsole(Ref<Terminal> terminal) {
  RegisterCharDevice(abi::kTTYAUX_MAJOR, kConsoleMinor, 1, [terminal](const Path& path, uint32_t flags) -> ErrorOr<Ref<FileDescription>> {
    Ref<FileDescription> file = TRY(terminal->OpenAgain(path, flags));
    if (!(flags & abi::kO_NOCTTY)) JobControl::Get().Opened(*terminal, file->readable());
    return file;
  });
}

}  // namespace moat
