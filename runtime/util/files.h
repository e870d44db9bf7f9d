// Small whole files, and paths.
#pragma once

#include <string>
#include <string_view>

#include "base/util/error.h"
#include "base/util/unique_fd.h"

namespace moat {

// The whole file; for small ones (/proc, /etc/passwd).
ErrorOr<std::string> ReadFile(const std::string& path);

// Writes `text` to an existing file with one write, as /proc files want it.
ErrorOr<void> WriteFile(const std::string& path, std::string_view text);

// `path` absolute and without `.`, `..`, doubled or trailing slashes; relative ones start at `base`. Symlinks
// are not looked at.
std::string NormalPath(std::string_view path, std::string_view base);

// Is `path` `ancestor` or below it? Both as by NormalPath.
bool IsWithin(std::string_view path, std::string_view ancestor);

// A sealed memfd with `bytes`.
ErrorOr<UniqueFd> SealedFile(const char* name, std::string_view bytes);

}  // namespace moat
