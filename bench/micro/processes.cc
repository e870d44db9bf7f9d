// Processes and threads: making, running, ending.
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <thread>

#include "bench/micro/harness.h"

namespace moat::bench {
namespace {

void WaitFor(pid_t pid) {
  int status;
  Check(pid > 0, "fork");
  Check(waitpid(pid, &status, 0) == pid && WIFEXITED(status) && WEXITSTATUS(status) == 0, "child");
}

[[noreturn]] void ExecNothing() {
  const char* program = settings().program.c_str();
  char* argv[] = {const_cast<char*>(program), const_cast<char*>("--nothing"), nullptr};
  char* envp[] = {nullptr};
  execve(program, argv, envp);
  _exit(127);
}

void ForkExitWait(Round& r) {
  while (r.Next()) {
    pid_t pid = fork();
    if (pid == 0) _exit(0);
    WaitFor(pid);
  }
}
void ForkExecWait(Round& r) {
  while (r.Next()) {
    pid_t pid = fork();
    if (pid == 0) ExecNothing();
    WaitFor(pid);
  }
}
void VforkExecWait(Round& r) {
  while (r.Next()) {
    pid_t pid = 0;
    char* argv[] = {const_cast<char*>(settings().program.c_str()), const_cast<char*>("--nothing"), nullptr};
    char* envp[] = {nullptr};
    // glibc's posix_spawn is vfork and exec.
    Check(posix_spawn(&pid, argv[0], nullptr, nullptr, argv, envp) == 0, "posix_spawn");
    WaitFor(pid);
  }
}
void ThreadCreateJoin(Round& r) {
  while (r.Next()) std::thread([] {}).join();
}

const Registration kRegistered{
    {"fork_exit_wait", ForkExitWait},
    {"fork_exec_wait", ForkExecWait},
    {"vfork_exec_wait", VforkExecWait},
    {"thread_create_join", ThreadCreateJoin},
};

}  // namespace
}  // namespace moat::bench
