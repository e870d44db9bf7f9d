#include "base/util/log.h"

#include <stdarg.h>
#include <stdio.h>

#include "base/host/file.h"
#include "base/host/process.h"
#include "base/util/check.h"
#include "base/util/sanitizers.h"
#include "base/util/unique_fd.h"

#if defined(MOAT_ASAN) || defined(MOAT_TSAN)
#include <sanitizer/common_interface_defs.h>
#endif

namespace moat {

std::atomic<LogLevel> g_log_level{LogLevel::kWarning};

namespace {
int g_log_fd = 2;
const char* g_program = "moat";
constexpr char kLevelLetters[] = {'E', 'W', 'I', 'D'};
}  // namespace

void SetLog(int fd, const char* program, LogLevel level) {
  g_log_fd = fd;
  g_program = program;
  g_log_level = level;
#if defined(MOAT_ASAN) || defined(MOAT_TSAN)
  __sanitizer_set_report_fd(reinterpret_cast<void*>(static_cast<intptr_t>(fd)));
#endif
}

void LogLine(LogLevel level, const char* format, ...) {
  char line[1024];
  int n = snprintf(line, sizeof line, "%s: %c ", g_program, kLevelLetters[static_cast<int>(level)]);
  va_list args;
  va_start(args, format);
  int m = vsnprintf(line + n, sizeof line - n - 1, format, args);
  va_end(args);
  size_t length = static_cast<size_t>(n) + (m < 0 ? 0 : static_cast<size_t>(m));
  if (length > sizeof line - 2) length = sizeof line - 2;  // cut: vsnprintf ended it with a NUL
  line[length++] = '\n';
  (void)host::Write(g_log_fd, line, length);
}

void CheckFailed(const char* file, int line, const char* what) {
  LogLine(LogLevel::kError, "internal error: %s:%d: check failed: %s", file, line, what);
#if defined(MOAT_ASAN) || defined(MOAT_TSAN)
  __sanitizer_print_stack_trace();
#endif
#ifdef MOAT_FUZZ
  __builtin_trap();  // so that libFuzzer keeps the input
#endif
  host::ExitGroup(134);
}

void UniqueFd::Reset() {
  if (fd_ >= 0) (void)host::Close(std::exchange(fd_, -1));
}

}  // namespace moat
