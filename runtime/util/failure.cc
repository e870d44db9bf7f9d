#include "runtime/util/failure.h"

#include <string.h>

#include "base/host/file.h"

namespace moat {

std::string ErrorText(Errno error) { return strerror(static_cast<int>(error)); }

void PrintLine(const std::string& text) {
  std::string line = "moat: ";
  for (const char c : text) {
    const bool control = static_cast<unsigned char>(c) < 0x20 || c == 0x7f;
    line += control ? '?' : c;
  }
  line += '\n';
  (void)host::WriteFull(2, line.data(), line.size());
}

}  // namespace moat
