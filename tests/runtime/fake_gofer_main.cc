// A gofer without files: it checks its configuration and lives as long as its connection. See
// fake_sentry_main.cc.
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <string>

#include "gofer/protocol/config.h"

int main() {
  std::string bytes(moat::kMaxGoferConfigBytes, '\0');
  const ssize_t got = read(moat::kGoferFdConfig, bytes.data(), bytes.size());
  if (got < 0 || !moat::DecodeGoferConfig(bytes.substr(0, static_cast<size_t>(got))).ok()) return 80;
  for (int fd = moat::kGoferFdConfig + 1; fd < 1024; ++fd) {
    if (fcntl(fd, F_GETFD) >= 0) return 81;
  }
  char message[16];
  while (recv(moat::kGoferFdConnection, message, sizeof(message), 0) > 0) {
    if (memcmp(message, "die", 3) == 0) return 9;
  }
  return 0;
}
