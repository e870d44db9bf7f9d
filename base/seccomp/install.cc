#include "base/seccomp/install.h"

#include "abi/prctl.h"
#include "base/host/confine.h"
#include "base/host/process.h"
#include "base/util/log.h"

namespace moat::seccomp {

ErrorOr<void> InstallFilter(std::span<const abi::SockFilter> program, bool all_threads) {
  TRY(host::Prctl(abi::kPR_SET_NO_NEW_PRIVS, 1));
  uint32_t flags = all_threads ? abi::kSECCOMP_FILTER_FLAG_TSYNC : 0;
  long culprit = TRY(host::SeccompSetModeFilter(flags, program));
  if (culprit == 0) return {};
  LOG(kError, "seccomp: thread %ld has a filter of its own, so the list cannot be put on all threads", culprit);
  return kEBUSY;
}

}  // namespace moat::seccomp
