// A small logger. One line a record to the log fd (stderr unless SetLogFd), written with a single write.
//   LOG(kWarning, "gofer: %s: %s", path, ErrnoName(e));
#pragma once

#include <atomic>

namespace moat {

enum class LogLevel : int { kError = 0, kWarning = 1, kInfo = 2, kDebug = 3 };
using enum LogLevel;

extern std::atomic<LogLevel> g_log_level;  // records above it are dropped; kWarning at start

// Where records go, and the name that starts each of them ("sentry", "gofer"). Call before threads start.
void SetLog(int fd, const char* program, LogLevel level);
void LogLine(LogLevel level, const char* format, ...) __attribute__((format(printf, 2, 3)));

}  // namespace moat

#define LOG(level, ...)                                                              \
  do {                                                                               \
    if (::moat::LogLevel::level <= ::moat::g_log_level.load(std::memory_order_relaxed)) \
      ::moat::LogLine(::moat::LogLevel::level, __VA_ARGS__);                         \
  } while (0)
