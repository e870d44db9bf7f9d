// Looking at processes from outside (/proc), gates between processes, polling, and running this very program
// again as something else.
#pragma once

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <unistd.h>

#include <functional>
#include <map>
#include <string>
#include <vector>

#include "tests/util/fork.h"
#include "tests/util/matchers.h"
#include "tests/util/thread.h"

namespace moat::test {

// Polls `condition` until it holds; false if it does not within 20 seconds.
template <typename Condition>
[[nodiscard]] bool Eventually(Condition&& condition) {
  constexpr int kTries = 10000;
  for (int i = 0; i < kTries; ++i) {
    if (condition()) return true;
    SleepMs(2);
  }
  return false;
}

// The whole of a (proc) file; empty if it cannot be read.
inline std::string Slurp(const std::string& path) {
  std::string text;
  const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return text;
  char buffer[4096];
  ssize_t got;
  while ((got = read(fd, buffer, sizeof(buffer))) > 0) text.append(buffer, got);
  close(fd);
  return text;
}

// The state letter of a process ('R', 'S', 'T', 'Z', ...), 0 if it does not exist.
inline char ProcessState(pid_t pid) { return StateOf("/proc/" + std::to_string(pid) + "/stat"); }

// The value of "Name:" in /proc/PID/status, without leading blanks; empty if absent.
inline std::string StatusField(pid_t pid, const std::string& name) {
  const std::string status = "\n" + Slurp("/proc/" + std::to_string(pid) + "/status");
  const size_t at = status.find("\n" + name + ":");
  if (at == std::string::npos) return "";
  const size_t from = status.find_first_not_of(" \t", at + name.size() + 2);
  return status.substr(from, status.find('\n', from) - from);
}

inline int TgKill(pid_t tgid, pid_t tid, int sig) {
  return static_cast<int>(syscall(SYS_tgkill, tgid, tid, sig));
}

// True when a wait status says that `sig` ended the process.
inline bool DiedOf(int status, int sig) { return WIFSIGNALED(status) && WTERMSIG(status) == sig; }

// A one-shot gate that also works between processes: one side opens it, the other waits.
class Gate {
 public:
  Gate() { EXPECT_THAT(pipe2(fds_, O_CLOEXEC), SyscallSucceeds()); }
  Gate(const Gate&) = delete;
  Gate& operator=(const Gate&) = delete;
  ~Gate() {
    close(fds_[0]);
    close(fds_[1]);
  }
  void Open() {
    const char byte = 1;
    EXPECT_THAT(write(fds_[1], &byte, 1), SyscallSucceedsWithValue(1));
  }
  void Wait() {
    char byte;
    while (read(fds_[0], &byte, 1) == -1 && errno == EINTR) {
    }
  }

 private:
  int fds_[2];
};

// Sends `sig` to the creating thread every time that it is seen asleep in the kernel, until destroyed: what a
// test of EINTR needs, because one signal could arrive just before the call that it is meant to interrupt.
class Nudger {
 public:
  explicit Nudger(int sig) : thread_([this, sig, tid = gettid()] { Run(sig, tid); }) {}
  Nudger(const Nudger&) = delete;
  Nudger& operator=(const Nudger&) = delete;
  ~Nudger() { stop_ = true; }

 private:
  void Run(int sig, pid_t tid) {
    sigset_t all;
    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, nullptr);
    const std::string stat = "/proc/self/task/" + std::to_string(tid) + "/stat";
    while (!stop_) {
      if (StateOf(stat) == 'S') {
        SleepMs(10);
        if (!stop_) TgKill(getpid(), tid, sig);
      }
      SleepMs(2);
    }
  }

  std::atomic<bool> stop_{false};
  ScopedThread thread_;
};

// Roles: functions that this program runs instead of its tests when it is executed with MOAT_TEST_ROLE=name
// in the environment. The test of execve needs a program whose behaviour it knows, and this is the only one
// that surely is there. Define with MOAT_TEST_ROLE(name) { ... return status; }; argc, argv and envp are in
// scope.
using Role = int (*)(int argc, char** argv, char** envp);
inline std::map<std::string, Role>& Roles() {
  static auto* roles = new std::map<std::string, Role>();
  return *roles;
}
struct RoleRegistration {
  RoleRegistration(const char* name, Role role) { Roles()[name] = role; }
};
#define MOAT_TEST_ROLE(name)                                                               \
  static int Role##name(int argc, char** argv, char** envp);                               \
  static const ::moat::test::RoleRegistration role_registration_##name(#name, Role##name); \
  static int Role##name([[maybe_unused]] int argc, [[maybe_unused]] char** argv, [[maybe_unused]] char** envp)

// For main: runs the role that the environment names, if any, and does not return then.
inline void RunRoleIfAsked(int argc, char** argv, char** envp) {
  const char* name = getenv("MOAT_TEST_ROLE");
  if (name == nullptr) return;
  const auto it = Roles().find(name);
  _exit(it == Roles().end() ? 98 : it->second(argc, argv, envp));
}

// A main for test programs that have roles.
#define MOAT_TEST_MAIN_WITH_ROLES()                 \
  int main(int argc, char** argv, char** envp) {    \
    ::moat::test::RunRoleIfAsked(argc, argv, envp); \
    testing::InitGoogleTest(&argc, argv);           \
    return RUN_ALL_TESTS();                         \
  }

// execve of this program as `role`: with `args` as argv and `role` plus `env` as the environment. Returns
// only on failure, with execve's result. `path` may name another file (a script, a copy).
inline int ExecRole(const std::string& role, std::vector<std::string> args, std::vector<std::string> env = {},
                    const std::string& path = "/proc/self/exe") {
  env.push_back("MOAT_TEST_ROLE=" + role);
  std::vector<char*> argv, envp;
  for (std::string& arg : args) argv.push_back(arg.data());
  for (std::string& var : env) envp.push_back(var.data());
  argv.push_back(nullptr);
  envp.push_back(nullptr);
  return execve(path.c_str(), argv.data(), envp.data());
}

// Runs ExecRole in a child and returns its wait status; 127 is the exit code if execve itself fails.
[[nodiscard]] inline int RunRole(const std::string& role, std::vector<std::string> args = {"test"},
                                 std::vector<std::string> env = {},
                                 const std::string& path = "/proc/self/exe") {
  return RunInChild([&]() -> int {
    ExecRole(role, args, env, path);
    return 127;
  });
}

}  // namespace moat::test
