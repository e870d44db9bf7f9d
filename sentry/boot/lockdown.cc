#include "sentry/boot/lockdown.h"

#include "abi/capability.h"
#include "abi/prctl.h"
#include "base/host/process.h"
#include "base/seccomp/compile.h"
#include "base/seccomp/install.h"
#include "base/util/log.h"
#include "sentry/boot/filter.h"

namespace moat {

ErrorOr<void> DropPrivileges() {
  TRY(host::Prctl(abi::kPR_SET_NO_NEW_PRIVS, 1));
  for (int cap = 0; cap <= abi::kCAP_LAST_CAP; ++cap) {
    // Capabilities that this host does not know end the list.
    if (!host::Prctl(abi::kPR_CAPBSET_DROP, static_cast<uint64_t>(cap)).ok()) break;
  }
  TRY(host::Prctl(abi::kPR_CAP_AMBIENT, abi::kPR_CAP_AMBIENT_CLEAR_ALL));
  return host::Capset({});
}

ErrorOr<void> MakeUndumpable() {
  TRY(host::Prctl(abi::kPR_SET_DUMPABLE, 0));
  return host::ForbidCoreDumps();
}

ErrorOr<void> InstallSentryFilter() {
  std::vector<abi::SockFilter> program = TRY(seccomp::CompileFilter(SentryFilter()));
  return seccomp::InstallFilter(program, /*all_threads=*/true);
}

ErrorOr<void> CheckPosture() {
  auto expect = [](bool ok, const char* what) -> ErrorOr<void> {
    if (ok) return {};
    LOG(kError, "refusing to run guests: %s", what);
    return kEPERM;
  };
  host::CapabilitySets caps = TRY(host::Capget());
  TRY(expect(caps.effective == 0 && caps.permitted == 0 && caps.inheritable == 0, "capabilities are left"));
  TRY(expect(TRY(host::Prctl(abi::kPR_GET_NO_NEW_PRIVS)) == 1, "no_new_privs is not set"));
  TRY(expect(TRY(host::Prctl(abi::kPR_GET_DUMPABLE)) == 0, "the process is dumpable"));
  for (int cap = 0; cap <= abi::kCAP_LAST_CAP; ++cap) {
    ErrorOr<long> in = host::Prctl(abi::kPR_CAPBSET_READ, static_cast<uint64_t>(cap));
    if (!in.ok()) break;
    TRY(expect(*in == 0, "the bounding set is not empty"));
  }
  TRY(expect(host::Getpid() == 1, "this is not pid 1 of a pid namespace"));
  return {};
}

}  // namespace moat
