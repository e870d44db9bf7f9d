#include "runtime/util/failure.h"

#include <string.h>

#include "base/host/file.h"

namespace moat {

std::string ErrorText(Errno error) { return strerror(static_cast<int>(error)); }

std::string DescribeEnd(int status) {
  const int signo = status & 0x7f;
  if (signo == 0) return "it exited with " + std::to_string((status >> 8) & 0xff);
  return "it was killed by signal " + std::to_string(signo) + ", " + strsignal(signo);
}

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
