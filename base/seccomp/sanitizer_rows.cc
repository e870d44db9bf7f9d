#include "base/seccomp/sanitizer_rows.h"

#include "base/util/sanitizers.h"

namespace moat::seccomp {

#if defined(MOAT_ASAN) || defined(MOAT_TSAN)
namespace {
// A report reads /proc/self/maps and the files of the modules; a pipe tells whether an address can be read.
constexpr abi::Nr kCalls[] = {
    abi::kNr_prctl,      abi::kNr_sigaltstack,    abi::kNr_rt_sigaction,      abi::kNr_rt_sigprocmask, abi::kNr_getpid,
    abi::kNr_gettid,     abi::kNr_tkill,          abi::kNr_open,              abi::kNr_openat,         abi::kNr_read,
    abi::kNr_write,      abi::kNr_writev,         abi::kNr_close,             abi::kNr_stat,           abi::kNr_lstat,
    abi::kNr_fstat,      abi::kNr_newfstatat,     abi::kNr_readlink,          abi::kNr_getdents64,     abi::kNr_pipe,
    abi::kNr_pipe2,      abi::kNr_getrlimit,      abi::kNr_prlimit64,         abi::kNr_sched_yield,    abi::kNr_clock_gettime,
    abi::kNr_mmap,       abi::kNr_sched_getaffinity, abi::kNr_set_robust_list, abi::kNr_nanosleep, abi::kNr_clock_nanosleep,
    abi::kNr_gettimeofday, abi::kNr_munmap, abi::kNr_mprotect, abi::kNr_madvise, abi::kNr_mincore, abi::kNr_futex, abi::kNr_rseq,
};
}  // namespace
#endif

void AddSanitizerRows([[maybe_unused]] Filter& filter) {
#if defined(MOAT_ASAN) || defined(MOAT_TSAN)
  for (abi::Nr nr : kCalls) {
    filter.rules.push_back({.nr = nr, .conditions = {}, .call_site = "sanitizer", .reason = "reports", .gain = "not in a release"});
  }
#endif
}

}  // namespace moat::seccomp
