// `#!` interpreters (execve(2), "Interpreter scripts").
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "base/util/error.h"

namespace moat {

struct ScriptLine {
  std::string interpreter;
  std::optional<std::string> argument;  // one, with inner blanks
};

// Parses the first line of a file that begins with `head` (up to 256 bytes, as Linux reads). No value: not a script.
// kENOEXEC: a `#!` line that Linux refuses (no interpreter, cut off within its name).
ErrorOr<std::optional<ScriptLine>> ParseScript(std::string_view head);

}  // namespace moat
