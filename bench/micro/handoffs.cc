// Two sides that wake each other: one round trip each.
#include <linux/futex.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <thread>

#include "bench/micro/harness.h"

namespace moat::bench {
namespace {

// Sends back what comes until the other end is closed.
void Echo(int in, int out) {
  char c;
  while (read(in, &c, 1) == 1) {
    if (write(out, &c, 1) != 1) return;
  }
}
void PingPong(Round& r, int out, int in) {
  char c = 1;
  while (r.Next()) Check(write(out, &c, 1) == 1 && read(in, &c, 1) == 1, "ping-pong");
}

void PipeThreads(Round& r) {
  int there[2], back[2];
  Check(pipe(there) == 0 && pipe(back) == 0, "pipe");
  std::thread echo([&] { Echo(there[0], back[1]); });
  PingPong(r, there[1], back[0]);
  close(there[1]);
  echo.join();
  for (int fd : {there[0], back[0], back[1]}) close(fd);
}
void PipeProcesses(Round& r) {
  int there[2], back[2];
  Check(pipe(there) == 0 && pipe(back) == 0, "pipe");
  pid_t pid = fork();
  Check(pid >= 0, "fork");
  if (pid == 0) {
    close(there[1]);
    Echo(there[0], back[1]);
    _exit(0);
  }
  PingPong(r, there[1], back[0]);
  for (int fd : {there[0], there[1], back[0], back[1]}) close(fd);
  waitpid(pid, nullptr, 0);
}
void SocketPairThreads(Round& r) {
  int ends[2];
  Check(socketpair(AF_UNIX, SOCK_STREAM, 0, ends) == 0, "socketpair");
  std::thread echo([&] { Echo(ends[1], ends[1]); });
  PingPong(r, ends[0], ends[0]);
  shutdown(ends[0], SHUT_RDWR);
  echo.join();
  close(ends[0]);
  close(ends[1]);
}

// A turn that is handed over; sleeps while it is the other's.
class Turn {
 public:
  void Give(uint32_t to) {
    whose_.store(to);
    syscall(SYS_futex, &whose_, FUTEX_WAKE_PRIVATE, 1, nullptr, nullptr, 0);
  }
  uint32_t WaitWhile(uint32_t other) {
    uint32_t now;
    while ((now = whose_.load()) == other) syscall(SYS_futex, &whose_, FUTEX_WAIT_PRIVATE, other, nullptr, nullptr, 0);
    return now;
  }

 private:
  std::atomic<uint32_t> whose_{0};
};
void FutexThreads(Round& r) {
  constexpr uint32_t kMine = 0, kTheirs = 1, kStop = 2;
  Turn turn;
  std::thread echo([&] {
    while (turn.WaitWhile(kMine) != kStop) turn.Give(kMine);
  });
  while (r.Next()) {
    turn.Give(kTheirs);
    turn.WaitWhile(kTheirs);
  }
  turn.Give(kStop);
  echo.join();
}

const Registration kRegistered{
    {"pingpong_pipe_threads", PipeThreads},
    {"pingpong_pipe_processes", PipeProcesses},
    {"pingpong_socketpair_threads", SocketPairThreads},
    {"pingpong_futex_threads", FutexThreads},
};

}  // namespace
}  // namespace moat::bench
