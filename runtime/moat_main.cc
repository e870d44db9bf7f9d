#include "runtime/cli/cli.h"

int main(int argc, char** argv, char** envp) { return moat::Main(argc, argv, envp); }
