// The system as a whole: uname, sysinfo, random numbers, and what only a machine's owner may do.
#include <algorithm>
#include <array>
#include <cstring>

#include "abi/capability.h"
#include "abi/random.h"
#include "abi/sysinfo.h"
#include "abi/time.h"
#include "abi/utsname.h"
#include "base/host/process.h"
#include "base/host/time.h"
#include "sentry/kernel/kernel.h"
#include "sentry/kernel/proc_source.h"
#include "sentry/kernel/sandbox_memory.h"
#include "sentry/kernel/version.h"
#include "sentry/syscalls/families.h"
#include "sentry/syscalls/file_io.h"

namespace moat {
namespace {

template <size_t N>
void Fill(char (&field)[N], const std::string& text) {
  memset(field, 0, N);
  memcpy(field, text.data(), std::min(text.size(), N - 1));
}

ErrorOr<void> SysUname(Task& t, UserAddr out) {
  abi::Utsname u{};
  Fill(u.sysname, "Linux");
  Fill(u.nodename, t.kernel().hostname);
  Fill(u.release, kKernelRelease);
  Fill(u.version, kKernelVersion);
  Fill(u.machine, "x86_64");
  Fill(u.domainname, t.kernel().domainname);
  constexpr uint32_t kUname26 = 0x0020000;  // personality(2)
  if (t.personality & kUname26) Fill(u.release, "2.6.60");
  return t.mm().Write(out, u);
}

ErrorOr<std::string> ReadHostName(Task& t, UserAddr name, int length) {
  constexpr int kMaxLength = 64;  // __NEW_UTS_LEN
  if (!t.creds().Has(abi::kCAP_SYS_ADMIN)) return kEPERM;
  if (length < 0 || length > kMaxLength) return kEINVAL;
  std::string text(static_cast<size_t>(length), '\0');
  TRY(t.mm().CopyIn(name, text.data(), text.size()));
  return text.substr(0, text.find('\0'));
}
ErrorOr<void> SysSethostname(Task& t, UserAddr name, int length) {
  t.kernel().hostname = TRY(ReadHostName(t, name, length));
  return {};
}
ErrorOr<void> SysSetdomainname(Task& t, UserAddr name, int length) {
  t.kernel().domainname = TRY(ReadHostName(t, name, length));
  return {};
}

ErrorOr<void> SysSysinfo(Task& t, UserAddr out) {
  SandboxMemory::State memory = TRY(SandboxMemory::Look());
  abi::Sysinfo s{};
  s.uptime = TRY(host::ClockGettime(abi::kCLOCK_BOOTTIME)).tv_sec;
  s.totalram = memory.total;
  s.freeram = memory.free;
  s.sharedram = memory.files;
  s.mem_unit = 1;
  constexpr uint64_t kOneLoad = 1 << 16;  // SI_LOAD_SHIFT
  std::array<uint64_t, 3> loads = t.kernel().proc_source().loads();
  for (size_t i = 0; i < loads.size(); ++i) s.loads[i] = loads[i] * kOneLoad / 100;
  {
    MutexLock lock(t.kernel().tasks_lock);
    s.procs = static_cast<uint16_t>(std::min(t.kernel().task_count(), 65535));
  }
  return t.mm().Write(out, s);
}

ErrorOr<uint64_t> SysGetrandom(Task& t, UserAddr buf, uint64_t length, uint32_t flags) {
  constexpr uint32_t kKnown = abi::kGRND_NONBLOCK | abi::kGRND_RANDOM | abi::kGRND_INSECURE;
  if (flags & ~kKnown) return kEINVAL;
  if ((flags & abi::kGRND_RANDOM) && (flags & abi::kGRND_INSECURE)) return kEINVAL;
  length = std::min<uint64_t>(length, INT32_MAX);
  std::array<std::byte, 4096> chunk;
  uint64_t done = 0;
  while (done < length) {
    size_t n = std::min<uint64_t>(chunk.size(), length - done);
    TRY(host::Getrandom(chunk.data(), n));
    ErrorOr<size_t> copied = t.mm().CopyOutPartial(buf + done, std::span(chunk).first(n));
    if (!copied.ok()) return done ? ErrorOr<uint64_t>(done) : copied.error();
    done += *copied;
    if (*copied < n) return done;
    if (t.interrupted() && done < length) return done;
  }
  return done;
}

ErrorOr<uint64_t> SysPersonality(Task& t, uint64_t wanted) {
  constexpr uint64_t kQuery = 0xffffffff;
  uint32_t old = t.personality;
  if (wanted != kQuery) t.personality = static_cast<uint32_t>(wanted);
  return uint64_t{old};
}

// vhangup(2) on the session's terminal: only the terminal's owner could, and none is the guest's.
ErrorOr<void> SysVhangup(Task& t) { return t.creds().Has(abi::kCAP_SYS_TTY_CONFIG) ? ErrorOr<void>() : kEPERM; }

constexpr SyscallRow kRows[] = {
    CALL(uname, SysUname, "ptr"),
    CALL(sethostname, SysSethostname, "buf:1 int"),
    CALL(setdomainname, SysSetdomainname, "buf:1 int"),
    CALL(sysinfo, SysSysinfo, "ptr"),
    CALL(getrandom, SysGetrandom, "out:1 u64 hex"),
    CALL_PARTIAL(personality, SysPersonality, "hex", "remembered; ADDR_NO_RANDOMIZE and UNAME26 have an effect"),
    CALL(vhangup, SysVhangup, ""),
};

}  // namespace

const SyscallFamily kSystemCalls = {"the system", kRows};

}  // namespace moat
