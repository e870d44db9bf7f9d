// CHECK: an invariant of ours, on in every build. It never depends on what a guest can do: that is an errno.
#pragma once

namespace moat {
// Logs the failed condition and ends the process with SIGABRT's exit status (without a core).
[[noreturn]] void CheckFailed(const char* file, int line, const char* what);
}  // namespace moat

#define CHECK(cond) \
  (static_cast<bool>(cond) ? static_cast<void>(0) : ::moat::CheckFailed(__FILE__, __LINE__, #cond))
#define UNREACHABLE() ::moat::CheckFailed(__FILE__, __LINE__, "unreachable")
#ifdef NDEBUG
#define DCHECK(cond) static_cast<void>(0)
#else
#define DCHECK(cond) CHECK(cond)
#endif
