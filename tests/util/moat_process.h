// Running `moat` as a user would, and looking at what it leaves behind.
#pragma once

#include <dirent.h>
#include <fcntl.h>
#include <grp.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "tests/util/process.h"

namespace moat::test {

// One process of the host, told apart from later ones of the same number.
struct HostProcess {
  pid_t pid = 0;
  std::string start_time;

  static std::string StartTimeOf(pid_t pid) {
    const std::string stat = Slurp("/proc/" + std::to_string(pid) + "/stat");
    size_t at = stat.rfind(')');
    for (int field = 2; field < 22 && at != std::string::npos; ++field) at = stat.find(' ', at + 1);
    return at == std::string::npos ? "" : stat.substr(at + 1, stat.find(' ', at + 1) - at - 1);
  }
  static HostProcess Of(pid_t pid) { return {pid, StartTimeOf(pid)}; }
  // A zombie has let go of everything: it is gone.
  bool Alive() const {
    const char state = ProcessState(pid);
    return state != 0 && state != 'Z' && state != 'X' && StartTimeOf(pid) == start_time;
  }
  std::string Name() const { return StatusField(pid, "Name"); }
};

// The processes below `pid`, itself not included.
inline std::vector<HostProcess> DescendantsOf(pid_t pid) {
  std::map<pid_t, std::vector<pid_t>> children;
  for (const auto& entry : std::filesystem::directory_iterator("/proc")) {
    const pid_t candidate = atoi(entry.path().filename().c_str());
    if (candidate > 0) children[atoi(StatusField(candidate, "PPid").c_str())].push_back(candidate);
  }
  std::vector<HostProcess> found;
  std::vector<pid_t> unvisited = {pid};
  while (!unvisited.empty()) {
    const pid_t parent = unvisited.back();
    unvisited.pop_back();
    for (const pid_t child : children[parent]) {
      found.push_back(HostProcess::Of(child));
      unvisited.push_back(child);
    }
  }
  return found;
}

inline bool AllGone(const std::vector<HostProcess>& processes) {
  return Eventually([&] {
    for (const HostProcess& process : processes) {
      if (process.Alive()) return false;
    }
    return true;
  });
}

// The one descendant whose program has this name; pid 0 if there is none.
inline HostProcess DescendantNamed(pid_t pid, const std::string& name) {
  for (const HostProcess& process : DescendantsOf(pid)) {
    if (process.Name() == name) return process;
  }
  return {};
}

// A running `moat`. Its output is kept in memory.
class MoatProcess {
 public:
  // `program` is the path of moat; `prepare` runs in the child before exec.
  MoatProcess(
      const std::string& program, std::vector<std::string> args, std::function<void()> prepare = [] {})
      : out_(memfd_create("out", MFD_CLOEXEC)), err_(memfd_create("err", MFD_CLOEXEC)) {
    args.insert(args.begin(), program);
    pid_ = fork();
    if (pid_ != 0) return;
    signal(SIGPIPE, SIG_DFL);
    dup2(open("/dev/null", O_RDONLY), 0);
    // Appending: writers that open the file again or share it do not overwrite each other.
    fcntl(out_, F_SETFL, O_APPEND);
    fcntl(err_, F_SETFL, O_APPEND);
    dup2(out_, 1);
    dup2(err_, 2);
    prepare();
    std::vector<char*> argv;
    for (std::string& arg : args) argv.push_back(arg.data());
    argv.push_back(nullptr);
    execv(program.c_str(), argv.data());
    _exit(99);
  }
  MoatProcess(const MoatProcess&) = delete;
  MoatProcess& operator=(const MoatProcess&) = delete;
  ~MoatProcess() {
    if (!reaped_) {
      kill(pid_, SIGKILL);
      Wait();
    }
    close(out_);
    close(err_);
  }

  pid_t pid() const { return pid_; }
  std::string out() const { return Text(out_); }
  std::string err() const { return Text(err_); }
  bool OutputContains(const std::string& text) const {
    return Eventually([&] { return out().find(text) != std::string::npos; });
  }

  // Its exit code, or -N if signal N ended it.
  int Wait() {
    int status = 0;
    while (waitpid(pid_, &status, 0) == -1 && errno == EINTR) {
    }
    reaped_ = true;
    return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
  }

 private:
  static std::string Text(int fd) {
    struct stat st;
    if (fstat(fd, &st) != 0) return "";
    std::string text(static_cast<size_t>(st.st_size), '\0');
    text.resize(static_cast<size_t>(std::max<ssize_t>(0, pread(fd, text.data(), text.size(), 0))));
    return text;
  }

  const int out_;
  const int err_;
  pid_t pid_ = -1;
  bool reaped_ = false;
};

// Becomes an ordinary user without groups; for `prepare`.
inline void BecomeOrdinaryUser() {
  constexpr uid_t kUid = 65533;
  if (setgroups(0, nullptr) != 0 || setresgid(kUid, kUid, kUid) != 0 || setresuid(kUid, kUid, kUid) != 0)
    _exit(98);
}

// A copy of the three programs where every user can reach them, whatever the build directory's parents allow.
class ProgramCopy {
 public:
  explicit ProgramCopy(const std::string& from) {
    char name[] = "/var/tmp/moat-programs-XXXXXX";
    dir_ = mkdtemp(name);
    for (const char* program : {"moat", "moat-sentry", "moat-gofer"}) {
      std::filesystem::copy_file(from + "/" + program, dir_ + "/" + program);
      chmod((dir_ + "/" + program).c_str(), 0755);
    }
    chmod(dir_.c_str(), 0755);
  }
  ProgramCopy(const ProgramCopy&) = delete;
  ~ProgramCopy() { std::filesystem::remove_all(dir_); }
  std::string moat() const { return dir_ + "/moat"; }

 private:
  std::string dir_;
};

}  // namespace moat::test
