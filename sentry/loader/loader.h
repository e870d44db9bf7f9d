// Turns a program file into a fresh address space: `#!` scripts, ELF (static, PIE, dynamic with interpreter), the first stack
// (argv, envp, auxv), the vDSO. Knows memory and files, not tasks.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/kern/credentials.h"
#include "fs/vfs/dentry.h"
#include "fs/vfs/path_walk.h"
#include "platform/platform.h"
#include "sentry/mm/memory_manager.h"

namespace moat {

class VdsoClock;

struct ProgramIdentity {
  Ref<const Credentials> creds;  // AT_UID and so on
  bool secure = false;           // AT_SECURE
};

struct LoadRequest {
  Platform& platform;
  VdsoClock& clock;          // what the vDSO shows
  const WalkContext& walk;   // for the interpreters' paths; its creds check execute permission
  Path file;                 // what was asked to run (already resolved), regular and executable checked by the loader
  std::string filename;      // as given: AT_EXECFN, and the script's path argument
  std::vector<std::string> argv, envp;
  uint64_t stack_limit;      // RLIMIT_STACK: stack growth, and a quarter of it bounds argv + envp (E2BIG)
  // Who the program will run as, asked once the file that is really run (a script's interpreter) is known.
  std::function<ErrorOr<ProgramIdentity>(const Path& program)> identify;
  bool fd_path_cloexec = false;  // execveat of a close-on-exec fd: a script's interpreter could not open it (ENOENT)
  const MemoryLimits& limits;
  uint32_t personality = 0;  // ADDR_NO_RANDOMIZE
};

struct LoadedProgram {
  Ref<MemoryManager> mm;
  std::unique_ptr<GuestThread> thread;  // parked at the entry point, registers set
  std::string comm;                     // base name, at most 15 bytes
  ProgramIdentity identity;
};

// kENOEXEC (corrupt or foreign), kEACCES, kENOENT (also: interpreter missing), kELOOP (scripts nest deeper than 5),
// kE2BIG, kENOMEM, kELIBBAD (bad interpreter), kETXTBSY, kEISDIR. Nothing of the caller is touched on failure.
ErrorOr<LoadedProgram> LoadProgram(const LoadRequest& request);

}  // namespace moat
