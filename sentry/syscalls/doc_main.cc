// moat-syscalls-doc: prints docs/SYSCALLS.md; `--check FILE` compares it with FILE instead.
#include <cstdio>
#include <cstring>
#include <fstream>
#include <sstream>

#include "sentry/syscalls/doc.h"

int main(int argc, char** argv) {
  std::string text = moat::SyscallDoc();
  if (argc == 1) {
    fputs(text.c_str(), stdout);
    return 0;
  }
  if (argc != 3 || strcmp(argv[1], "--check") != 0) {
    fputs("usage: moat-syscalls-doc [--check FILE]\n", stderr);
    return 2;
  }
  std::ifstream file(argv[2], std::ios::binary);
  std::stringstream held;
  held << file.rdbuf();
  if (held.str() == text) return 0;
  fprintf(stderr, "%s is not what the table says: run moat-syscalls-doc > docs/SYSCALLS.md\n", argv[2]);
  return 1;
}
