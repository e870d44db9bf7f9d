// The one system call instruction of Moat's own processes. Only base/host uses this header: everything else calls the
// typed wrappers beside it, so that no -errno value leaves this folder and no errno (a thread local) is ever touched.
#pragma once

#include <cstddef>
#include <cstdint>
#include <type_traits>

#include "base/util/error.h"

namespace moat::host {

// Makes the call `nr` and returns what the kernel returned: a result or -errno. Unused arguments are 0.
inline long RawSyscall(long nr, long a1 = 0, long a2 = 0, long a3 = 0, long a4 = 0, long a5 = 0, long a6 = 0) {
  long result;
  register long r10 asm("r10") = a4;
  register long r8 asm("r8") = a5;
  register long r9 asm("r9") = a6;
  asm volatile("syscall"
               : "=a"(result)
               : "a"(nr), "D"(a1), "S"(a2), "d"(a3), "r"(r10), "r"(r8), "r"(r9)
               : "rcx", "r11", "memory");
  return result;
}

// The last page of negative numbers holds errors, everything else is a result.
inline constexpr long kLowestError = -4095;

inline ErrorOr<long> Check(long result) {
  if (result < 0 && result >= kLowestError) [[unlikely]] return Errno{static_cast<uint16_t>(-result)};
  return result;
}

// A system call argument as a register holds it: pointers as addresses, integers sign- or zero-extended by their type.
template <class A>
long ToRegister(A a) {
  if constexpr (std::is_null_pointer_v<A>) return 0;
  else if constexpr (std::is_pointer_v<A>) return reinterpret_cast<long>(a);
  else return static_cast<long>(a);
}

// RawSyscall with typed arguments and result; R void drops the result.
template <class R, class... Args>
ErrorOr<R> Call(long nr, Args... args) {
  long result = RawSyscall(nr, ToRegister(args)...);
  if (result < 0 && result >= kLowestError) [[unlikely]] return Errno{static_cast<uint16_t>(-result)};
  if constexpr (std::is_void_v<R>) return {};
  else if constexpr (std::is_pointer_v<R>) return reinterpret_cast<R>(result);
  else if constexpr (std::is_constructible_v<R, int> && !std::is_arithmetic_v<R>) return R(static_cast<int>(result));
  else return static_cast<R>(result);
}

// Repeats `call` while it is interrupted by a signal.
template <class F>
auto RetryEintr(F call) -> decltype(call()) {
  for (;;) {
    auto result = call();
    if (result.ok() || result.error() != kEINTR) return result;
  }
}

}  // namespace moat::host
