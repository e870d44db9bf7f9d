// A sentry without a kernel: it speaks the control protocol and does what the "command" says, so that
// launching and supervising can be tested for every way in which a sentry can end.
#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#include <string>

#include "sentry/boot/config.h"
#include "sentry/control/protocol.h"

namespace moat {
namespace {

void Send(const ControlMessage& message) {
  const std::string bytes = EncodeControl(message);
  if (send(kFdControl, bytes.data(), bytes.size(), MSG_NOSIGNAL) < 0) _exit(90);
}

// The next signal message; the process ends with the socket.
ControlMessage NextSignal() {
  char buffer[kMaxControlBytes];
  const ssize_t got = recv(kFdControl, buffer, sizeof(buffer), 0);
  if (got <= 0) _exit(0);
  ErrorOr<ControlMessage> message = DecodeControl({buffer, static_cast<size_t>(got)});
  if (message.ok() && message->type == ControlType::kMemory) return NextSignal();
  if (!message.ok() || message->type != ControlType::kSignal) _exit(91);
  return *message;
}

void AwaitGo() {
  char buffer[kMaxControlBytes];
  const ssize_t got = recv(kFdControl, buffer, sizeof(buffer), 0);
  if (got <= 0) _exit(0);
  ErrorOr<ControlMessage> message = DecodeControl({buffer, static_cast<size_t>(got)});
  if (!message.ok() || message->type != ControlType::kGo) _exit(94);
}

[[noreturn]] void End(int code, int signo) {
  Send({ControlType::kExited, code, signo, ""});
  _exit(0);
}

std::string ReadConfig() {
  std::string bytes;
  char buffer[4096];
  ssize_t got;
  while ((got = read(kFdConfig, buffer, sizeof(buffer))) > 0) bytes.append(buffer, static_cast<size_t>(got));
  return bytes;
}

// What the process sees of itself, one line a fact.
void Dump(const SandboxConfig& config, char** envp) {
  printf("pid %d\nsession %d\nuid %d %d\ngid %d %d\n", getpid(), getsid(0) == getpid(), getuid(), geteuid(),
         getgid(), getegid());
  printf("env %d\n", envp[0] != nullptr);
  printf("fds");
  for (int fd = 0; fd < 1024; ++fd) {
    if (fcntl(fd, F_GETFD) >= 0) printf(" %d", fd);
  }
  printf("\nroot");
  DIR* root = opendir("/");
  while (const dirent* entry = root ? readdir(root) : nullptr) printf(" %s", entry->d_name);
  if (root) closedir(root);
  struct statvfs vfs {};
  statvfs("/", &vfs);
  printf("\nroot flags %s %d\n", mkdir("/x", 0700) == 0 ? "writable" : strerror(errno),
         (vfs.f_flag & ST_RDONLY) != 0);
  printf("up");
  if (struct ifaddrs* list = nullptr; getifaddrs(&list) == 0) {
    for (struct ifaddrs* i = list; i != nullptr; i = i->ifa_next) {
      if (i->ifa_flags & IFF_UP) printf(" %s", i->ifa_name);
    }
  }
  struct rlimit core {};
  getrlimit(RLIMIT_CORE, &core);
  sigset_t mask;
  sigprocmask(SIG_SETMASK, nullptr, &mask);
  int blocked = 0;
  for (int i = 1; i < NSIG; ++i) blocked += sigismember(&mask, i) == 1;
  struct sigaction hup {};
  sigaction(SIGHUP, nullptr, &hup);
  printf("\ncore %lu %lu\nblocked %d\nhup default %d\n", core.rlim_cur, core.rlim_max, blocked,
         hup.sa_handler == SIG_DFL);
  printf("stdio %d %d %d\ncwd %s\nguest uid %u\nignored %lx\n", static_cast<int>(config.stdio[0]),
         static_cast<int>(config.stdio[1]), static_cast<int>(config.stdio[2]), config.cwd.c_str(), config.uid,
         config.ignored_signals);
}

[[noreturn]] void Act(const SandboxConfig& config, char** envp) {
  signal(SIGSEGV, SIG_DFL);  // a sanitizer may have taken it: dying is among our duties
  const std::string& what = config.argv[0];
  const auto number = [&](size_t i) { return config.argv.size() > i ? atoi(config.argv[i].c_str()) : 0; };
  if (what == "execfail") {
    Send({ControlType::kExecFailed, number(1), 0, config.argv.at(2)});
    _exit(0);
  }
  if (what == "refuse") {
    Send({ControlType::kNotice, 0, 0, config.argv.at(1)});
    _exit(125);
  }
  Send({ControlType::kStarted, 0, 0, ""});
  if (what == "exit") End(number(1), 0);
  if (what == "killed") End(0, number(1));
  if (what == "crash") abort();
  if (what == "vanish") _exit(7);
  if (what == "garbage") send(kFdControl, "garbage", 7, 0);
  if (what == "kill-gofer") send(kFdGofer, "die", 3, 0);
  if (what == "kill-gofer-and-exit") {
    send(kFdGofer, "die", 3, 0);
    char none;
    recv(kFdGofer, &none, 1, 0);  // until it is gone
    End(127, 0);
  }
  if (what == "dump") {
    Dump(config, envp);
    fflush(stdout);
    End(0, 0);
  }
  if (what.starts_with("raw-terminal")) {
    struct termios raw;
    if (tcgetattr(0, &raw) != 0) _exit(93);
    cfmakeraw(&raw);
    tcsetattr(0, TCSANOW, &raw);
    if (what == "raw-terminal") End(0, 0);
    if (what == "raw-terminal-crash") abort();
  }
  printf("ready\n");
  fflush(stdout);
  while (what == "deaf") pause();
  for (int delivered = 1;; ++delivered) {
    const ControlMessage signal = NextSignal();
    Send({ControlType::kDelivered, delivered, 0, ""});
    printf("signal %d %d\n", signal.value, signal.detail);
    fflush(stdout);
    if (what == "obey" && signal.value == SIGTERM) End(0, SIGTERM);
    if (what == "stop" && signal.value == SIGTSTP) Send({ControlType::kStopped, SIGTSTP, 0, ""});
  }
}

}  // namespace
}  // namespace moat

int main(int, char**, char** envp) {
  const moat::ErrorOr<moat::SandboxConfig> config = moat::DecodeConfig(moat::ReadConfig());
  if (!config.ok()) return 92;
  moat::AwaitGo();
  moat::Act(*config, envp);
}
