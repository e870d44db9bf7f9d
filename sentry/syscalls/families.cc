#include "sentry/syscalls/families.h"

namespace moat {

std::span<const SyscallFamily* const> AllFamilies() {
  static const SyscallFamily* const kFamilies[] = {
      &kFileIoCalls, &kSpliceCalls, &kOpenCalls, &kStatCalls, &kDirCalls, &kAttrCalls, &kMountCalls, &kPollCalls,
      &kEventCalls, &kSocketCalls, &kMemoryCalls, &kFutexCalls, &kProcessCalls, &kPtraceCalls, &kIdentityCalls, &kPrctlCalls,
      &kSignalCalls, &kTimeCalls, &kScheduleCalls, &kIpcCalls, &kMqueueCalls, &kSystemCalls, &kRefusedCalls,
  };
  return kFamilies;
}

}  // namespace moat
