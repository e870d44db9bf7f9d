// Forked children, threads that must be seen asleep, and other small tools of the process tests. Everything is
// header-only and uses libc alone; the tests link nothing of Moat.
#pragma once

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <functional>
#include <string>

#include "gtest/gtest.h"

namespace moat::test {

// The errno that a libc function or syscall() reported with `result`; 0 if it did not fail.
inline int ErrnoOf(long result) { return result == -1 ? errno : 0; }

// In a child of ForkChild/RunInChild: ends the child with status 99 and a message unless `condition` holds. GoogleTest's
// own macros only record a failure in the child's copy of the test's state, where nobody sees it.
#define CHILD_CHECK(condition)                                                                            \
  do {                                                                                                    \
    if (!(condition)) {                                                                                   \
      ::dprintf(2, "%s:%d: in a child: %s (errno %d)\n", __FILE__, __LINE__, #condition, errno);          \
      ::_exit(99);                                                                                        \
    }                                                                                                     \
  } while (0)

// Forks a child that runs `body` and exits with its result (0 if it returns nothing). The caller reaps it.
template <typename Body>
pid_t ForkChild(Body&& body) {
  fflush(nullptr);
  pid_t pid = fork();
  if (pid != 0) return pid;
  if constexpr (std::is_void_v<decltype(body())>) {
    body();
    _exit(0);
  } else {
    _exit(body());
  }
}

// Waits for `pid`, also through interruptions, and returns its wait status, or -1 if it is no child.
inline int WaitStatus(pid_t pid) {
  int status = 0;
  pid_t got;
  do {
    got = waitpid(pid, &status, __WALL);
  } while (got == -1 && errno == EINTR);
  return got == pid ? status : -1;
}

// Runs `body` in a child and returns the wait status: 0 when every CHILD_CHECK held and it returned 0 or nothing.
template <typename Body>
int RunInChild(Body&& body) {
  return WaitStatus(ForkChild(std::forward<Body>(body)));
}

// Wait statuses to compare with.
constexpr int Exited(int code) { return code << 8; }
constexpr int KilledBy(int signo) { return signo; }

// True when a wait status says that a signal ended the process, with or without a core.
inline bool DiedOf(int status, int signo) { return WIFSIGNALED(status) && WTERMSIG(status) == signo; }

inline void SleepMs(int ms) {
  timespec left = {ms / 1000, (ms % 1000) * 1000000L};
  while (nanosleep(&left, &left) == -1 && errno == EINTR) {
  }
}

// Polls `condition` until it holds; false if it does not within 20 seconds.
template <typename Condition>
bool Eventually(Condition&& condition) {
  for (int i = 0; i < 10000; ++i) {
    if (condition()) return true;
    SleepMs(2);
  }
  return false;
}

// The whole of a (proc) file; empty if it cannot be read.
inline std::string Slurp(const std::string& path) {
  std::string text;
  int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return text;
  char buffer[4096];
  ssize_t got;
  while ((got = read(fd, buffer, sizeof(buffer))) > 0) text.append(buffer, got);
  close(fd);
  return text;
}

// The state letter of a task: R, S, D, T, t, Z, X; 0 if there is no such task.
inline char TaskState(pid_t tgid, pid_t tid) {
  std::string stat = Slurp("/proc/" + std::to_string(tgid) + "/task/" + std::to_string(tid) + "/stat");
  size_t paren = stat.rfind(')');
  return paren == std::string::npos || paren + 2 >= stat.size() ? 0 : stat[paren + 2];
}
inline char ProcessState(pid_t pid) { return TaskState(pid, pid); }

// True once the task is asleep in the kernel, which is how a test knows that another thread is inside its blocking
// call. Reports the state twice in a row so that a sleep on the way there (a page fault, a lock) does not count.
inline bool WaitUntilAsleep(pid_t tgid, pid_t tid) {
  return Eventually([&] {
    if (TaskState(tgid, tid) != 'S') return false;
    SleepMs(5);
    return TaskState(tgid, tid) == 'S';
  });
}
inline bool WaitUntilAsleep(pid_t pid) { return WaitUntilAsleep(pid, pid); }

// The value of "Name:\tvalue" in /proc/PID/status, without leading blanks; empty if absent.
inline std::string StatusField(pid_t pid, const std::string& name) {
  std::string status = "\n" + Slurp("/proc/" + std::to_string(pid) + "/status");
  size_t at = status.find("\n" + name + ":");
  if (at == std::string::npos) return "";
  size_t from = status.find_first_not_of(" \t", at + name.size() + 2);
  return status.substr(from, status.find('\n', from) - from);
}

inline pid_t GetTid() { return static_cast<pid_t>(syscall(SYS_gettid)); }
inline int TgKill(pid_t tgid, pid_t tid, int signo) {
  return static_cast<int>(syscall(SYS_tgkill, tgid, tid, signo));
}

// A one-shot gate between processes: one side Opens, the other Waits. Both ends stay open in both processes, so a side
// that dies leaves the other waiting: the test's timeout is the judge.
class Gate {
 public:
  Gate() {
    if (pipe2(fds_, O_CLOEXEC) != 0) abort();
  }
  ~Gate() {
    close(fds_[0]);
    close(fds_[1]);
  }
  Gate(const Gate&) = delete;
  Gate& operator=(const Gate&) = delete;
  void Open() {
    char byte = 1;
    if (write(fds_[1], &byte, 1) != 1) abort();
  }
  void Wait() {
    char byte;
    while (read(fds_[0], &byte, 1) == -1 && errno == EINTR) {
    }
  }

 private:
  int fds_[2];
};

// Installs a handler for the lifetime of the object and puts the former disposition back.
class ScopedHandler {
 public:
  ScopedHandler(int signo, void (*handler)(int), int flags = 0) : signo_(signo) {
    struct sigaction action = {};
    action.sa_handler = handler;
    action.sa_flags = flags;
    sigaction(signo, &action, &old_);
  }
  ScopedHandler(int signo, void (*handler)(int, siginfo_t*, void*), int flags) : signo_(signo) {
    struct sigaction action = {};
    action.sa_sigaction = handler;
    action.sa_flags = flags | SA_SIGINFO;
    sigaction(signo, &action, &old_);
  }
  ~ScopedHandler() { sigaction(signo_, &old_, nullptr); }
  ScopedHandler(const ScopedHandler&) = delete;
  ScopedHandler& operator=(const ScopedHandler&) = delete;

 private:
  int signo_;
  struct sigaction old_;
};

// Blocks signals for the lifetime of the object and puts the former mask back.
class ScopedBlock {
 public:
  explicit ScopedBlock(std::initializer_list<int> signals) {
    sigset_t set;
    sigemptyset(&set);
    for (int signo : signals) sigaddset(&set, signo);
    pthread_sigmask(SIG_BLOCK, &set, &old_);
  }
  ~ScopedBlock() { pthread_sigmask(SIG_SETMASK, &old_, nullptr); }
  ScopedBlock(const ScopedBlock&) = delete;
  ScopedBlock& operator=(const ScopedBlock&) = delete;

 private:
  sigset_t old_;
};

inline sigset_t SetOf(std::initializer_list<int> signals) {
  sigset_t set;
  sigemptyset(&set);
  for (int signo : signals) sigaddset(&set, signo);
  return set;
}

// A fresh directory below $TMPDIR or /tmp, removed with its files (not with its subfolders).
class ScratchDir {
 public:
  ScratchDir() {
    const char* base = getenv("TMPDIR");
    path_ = std::string(base != nullptr ? base : "/tmp") + "/moat-test-XXXXXX";
    if (mkdtemp(path_.data()) == nullptr) abort();
  }
  ~ScratchDir() {
    if (DIR* dir = opendir(path_.c_str())) {
      while (dirent* entry = readdir(dir)) unlinkat(dirfd(dir), entry->d_name, 0);
      closedir(dir);
    }
    rmdir(path_.c_str());
  }
  ScratchDir(const ScratchDir&) = delete;
  ScratchDir& operator=(const ScratchDir&) = delete;
  const std::string& path() const { return path_; }
  std::string File(const std::string& name) const { return path_ + "/" + name; }
  std::string Write(const std::string& name, const std::string& text, mode_t mode = 0644) const {
    std::string path = File(name);
    int fd = open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0 || write(fd, text.data(), text.size()) != static_cast<ssize_t>(text.size())) abort();
    fchmod(fd, mode);
    close(fd);
    return path;
  }

 private:
  std::string path_;
};

inline bool IsRoot() { return geteuid() == 0; }
#define SKIP_UNLESS_ROOT() \
  if (!::moat::test::IsRoot()) GTEST_SKIP() << "needs root"

}  // namespace moat::test
