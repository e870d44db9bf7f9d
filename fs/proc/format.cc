#include "fs/proc/format.h"

#include <cstdarg>
#include <cstdio>

namespace moat {

namespace {

void VAppendf(std::string& out, const char* format, va_list args) {
  va_list again;
  va_copy(again, args);
  char small[256];
  int n = vsnprintf(small, sizeof small, format, args);
  if (n > 0 && static_cast<size_t>(n) < sizeof small) {
    out.append(small, static_cast<size_t>(n));
  } else if (n > 0) {
    size_t before = out.size();
    out.resize(before + static_cast<size_t>(n) + 1);
    vsnprintf(out.data() + before, static_cast<size_t>(n) + 1, format, again);
    out.pop_back();
  }
  va_end(again);
}

}  // namespace

void Appendf(std::string& out, const char* format, ...) {
  va_list args;
  va_start(args, format);
  VAppendf(out, format, args);
  va_end(args);
}

std::string Format(const char* format, ...) {
  std::string out;
  va_list args;
  va_start(args, format);
  VAppendf(out, format, args);
  va_end(args);
  return out;
}

}  // namespace moat
