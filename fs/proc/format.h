// printf into strings, for files whose format is defined by printf.
#pragma once

#include <string>

namespace moat {

// Appends to `out`.
void Appendf(std::string& out, const char* format, ...) __attribute__((format(printf, 2, 3)));
std::string Format(const char* format, ...) __attribute__((format(printf, 1, 2)));

}  // namespace moat
