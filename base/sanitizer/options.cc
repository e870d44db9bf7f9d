// Options of the sanitizers' runtime for the programs of a sanitizer build, which get no environment. The programs end at
// the first report, with a status that no program of ours uses, so that `moat` fails and with it the test. They cannot start
// a symbolizer once they are locked down: addresses are printed as module and offset, for llvm-symbolizer.
#include "base/util/sanitizers.h"

// The runtime looks for these names.
extern "C" {
#ifdef MOAT_ASAN
const char* __asan_default_options() {
  // Leaks: the search needs ptrace and threads of its own, and these programs end without running destructors.
  return "exitcode=86:symbolize=0:detect_leaks=0:disable_coredump=0";
}
const char* __ubsan_default_options() { return "print_stacktrace=1:symbolize=0:exitcode=86"; }
#endif
#ifdef MOAT_TSAN
const char* __tsan_default_options() {
  // Deadlocks: dentries are locked parent first, and a rename, under locks of its own, can make a parent of a child. A suppression
  // would need symbols.
  return "exitcode=86:symbolize=0:halt_on_error=1:die_after_fork=0:detect_deadlocks=0:disable_coredump=0";
}
#endif
}
