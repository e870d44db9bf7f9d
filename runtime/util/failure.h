// How `moat` fails: an exception with the line that the user reads and the status that the shell sees. Only
// runtime/ throws; the other programs return ErrorOr.
#pragma once

#include <stdexcept>
#include <string>
#include <utility>

#include "base/util/error.h"

namespace moat {

// Statuses of `moat` itself, as env(1), timeout(1) and the container tools use them.
inline constexpr int kExitTimeout = 124;
inline constexpr int kExitSandboxFailed = 125;
inline constexpr int kExitCannotExecute = 126;
inline constexpr int kExitNotFound = 127;

class Failure : public std::runtime_error {
 public:
  explicit Failure(const std::string& text, int exit_code = kExitSandboxFailed)
      : std::runtime_error(text), exit_code_(exit_code) {}
  int exit_code() const { return exit_code_; }

 private:
  int exit_code_;
};

// "No such file or directory" for kENOENT.
std::string ErrorText(Errno error);

// "it exited with 3", "it was killed by signal 9, Killed" for a wait status.
std::string DescribeEnd(int status);

// The value, or a Failure "WHAT: error text".
template <class T>
T Must(ErrorOr<T> result, const std::string& what) {
  if (!result.ok()) throw Failure(what + ": " + ErrorText(result.error()));
  return TakeValue(std::move(result));
}

// Writes "moat: TEXT" and a newline to standard error in one write. Control characters, which a hostile peer
// may have sent for the user's terminal, become '?'.
void PrintLine(const std::string& text);

}  // namespace moat
