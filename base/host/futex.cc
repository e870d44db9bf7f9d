#include "base/host/futex.h"

#include "abi/futex.h"
#include "abi/syscall_nr.h"
#include "base/host/raw.h"

namespace moat::host {

ErrorOr<void> FutexWait(const void* word, uint32_t expected, const abi::Timespec* deadline, bool shared) {
  // The bitset form takes an absolute CLOCK_MONOTONIC time.
  int op = abi::kFUTEX_WAIT_BITSET | (shared ? 0 : abi::kFUTEX_PRIVATE_FLAG);
  return Call<void>(abi::kNr_futex, word, op, expected, deadline, nullptr, abi::kFUTEX_BITSET_MATCH_ANY);
}
ErrorOr<int> FutexWake(const void* word, int count, bool shared) {
  return Call<int>(abi::kNr_futex, word, abi::kFUTEX_WAKE | (shared ? 0 : abi::kFUTEX_PRIVATE_FLAG), count);
}

}  // namespace moat::host
