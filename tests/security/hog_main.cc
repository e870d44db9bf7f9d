// A guest that takes all it can get of one thing: hog WHAT [ARGUMENT]. It says on standard output what stopped it, one line
// "NAME ERROR COUNT", and ends with 0; what is ended from outside says nothing. No library, so that it runs in any root.
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <functional>
#include <vector>

namespace {

constexpr size_t kMiB = size_t{1} << 20;

int Say(const char* what, int error, long count) {
  printf("%s %s %ld\n", what, error ? strerrorname_np(error) : "none", count);
  fflush(stdout);
  return 0;
}

// Calls `make` until it fails; fds stay open.
int Until(const char* what, const std::function<bool()>& make) {
  long count = 0;
  while (make()) ++count;
  return Say(what, errno, count);
}

// As many descriptors as the hard limit allows.
void RaiseFdLimit() {
  rlimit limit;
  getrlimit(RLIMIT_NOFILE, &limit);
  limit.rlim_cur = limit.rlim_max;
  setrlimit(RLIMIT_NOFILE, &limit);
}

int Memory(const char* mib) {
  const long most = atol(mib) > 0 ? atol(mib) : 1 << 20;
  for (long i = 0; i < most; ++i) {
    void* p = mmap(nullptr, kMiB, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (p == MAP_FAILED) return Say("memory", errno, i);
    memset(p, 1, kMiB);
  }
  return Say("memory", 0, most);
}

// Touches one page of every 2 MiB for reading: no memory of its own, but a page table each.
int PageTables(const char*) {
  long count = 0;
  for (;; ++count) {
    auto* p = static_cast<volatile char*>(
        mmap(nullptr, 1024 * kMiB, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0));
    if (p == MAP_FAILED) return Say("pagetables", errno, count);
    madvise(const_cast<char*>(p), 1024 * kMiB, MADV_NOHUGEPAGE);
    for (size_t at = 0; at < 1024 * kMiB; at += 2 * kMiB) (void)p[at];
  }
}

// Children that share 100 MiB after a fork; with "write" each makes it its own.
int Shared(const char* how) {
  constexpr size_t kSize = 100 * kMiB;
  void* p = mmap(nullptr, kSize, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  memset(p, 1, kSize);
  int killed = 0;
  for (int i = 0; i < 4; ++i) {
    if (fork() == 0) {
      if (how && !strcmp(how, "write")) memset(p, 2, kSize);
      usleep(400'000);
      _exit(0);
    }
  }
  for (int status; wait(&status) > 0;) killed += WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL;
  return Say("shared", 0, killed);
}

int SharedMapping(const char*) {
  const int fd = memfd_create("hog", 0);
  constexpr size_t kSize = 16384 * kMiB;
  if (ftruncate(fd, kSize) != 0) return Say("memfd", errno, 0);
  auto* p = static_cast<char*>(mmap(nullptr, kSize, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0));
  if (p == MAP_FAILED) return Say("memfd", errno, 0);
  for (size_t at = 0; at < kSize; at += 4096) p[at] = 1;
  return Say("memfd", 0, 0);
}

int Fork(const char*) {
  long count = 0;
  for (int last = 0;;) {
    const pid_t pid = fork();
    if (pid > 0) ++count;
    if (pid < 0 && last != errno) Say("fork", last = errno, count);
    if (pid == 0) last = EAGAIN;  // children are silent
  }
}

int Threads(const char*) {
  constexpr int kFlags = CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD | CLONE_SYSVSEM;
  constexpr size_t kStack = 16384;
  return Until("threads", [] {
    char* stack = static_cast<char*>(malloc(kStack));
    return clone([](void*) { return pause(); }, stack + kStack, kFlags, nullptr) > 0;
  });
}

// Pipes with something in each slot.
int Pipes(const char*) {
  RaiseFdLimit();
  static char block[4096];
  return Until("pipes", [] {
    int fds[2];
    if (pipe2(fds, O_NONBLOCK) != 0) return false;
    while (write(fds[1], block, sizeof block) > 0) {
    }
    return errno == EAGAIN;
  });
}

int Sockets(const char*) {
  RaiseFdLimit();
  static char block[4096];
  return Until("sockets", [] {
    int fds[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds) != 0) return false;
    while (send(fds[1], block, sizeof block, MSG_NOSIGNAL) > 0) {
    }
    return errno == EAGAIN;
  });
}

int Many(const char* what, const std::function<int()>& make) {
  RaiseFdLimit();
  return Until(what, [&] { return make() >= 0; });
}

int Timers(const char*) {
  return Until("timers", [] {
    timer_t timer;
    return timer_create(CLOCK_MONOTONIC, nullptr, &timer) == 0;
  });
}

// Several processes that hold what they opened until all are done, so that no process's own limit is the one that counts.
int Files(const char* path) {
  RaiseFdLimit();
  constexpr int kProcesses = 4;
  int done[2], hold[2];
  if (pipe(done) != 0 || pipe(hold) != 0) return 1;
  for (int i = 0; i < kProcesses; ++i) {
    if (fork() != 0) continue;
    close(hold[1]);
    Until("files", [path] { return open(path, O_RDWR) >= 0; });
    char byte = 0;
    if (write(done[1], &byte, 1) != 1) _exit(1);
    _exit(read(hold[0], &byte, 1) == 0 ? 0 : 1);
  }
  char byte;
  for (int i = 0; i < kProcesses; ++i) {
    if (read(done[0], &byte, 1) != 1) return 1;
  }
  const int now = open(path, O_RDWR);
  Say("after", now < 0 ? errno : 0, 0);
  close(hold[1]);
  while (wait(nullptr) > 0) {
  }
  const int later = open(path, O_RDWR);
  return Say("later", later < 0 ? errno : 0, 0);
}

// Many processes that each keep a table of a million descriptors, of one file.
int Tables(const char*) {
  RaiseFdLimit();
  rlimit limit;
  getrlimit(RLIMIT_NOFILE, &limit);
  return Until("tables", [&] {
    if (dup2(0, static_cast<int>(limit.rlim_cur) - 1) < 0) return false;
    const pid_t pid = fork();
    if (pid == 0) {
      pause();
      _exit(0);
    }
    return pid > 0;
  });
}

struct Hog {
  const char* name;
  std::function<int(const char*)> run;
};

const Hog kHogs[] = {
    {"memory", Memory},
    {"pagetables", PageTables},
    {"shared", Shared},
    {"memfd", SharedMapping},
    {"fork", Fork},
    {"threads", Threads},
    {"pipes", Pipes},
    {"sockets", Sockets},
    {"timers", Timers},
    {"files", Files},
    {"tables", Tables},
    {"eventfd", [](const char* a) { return Many(a, [] { return eventfd(0, 0); }); }},
    {"epoll", [](const char* a) { return Many(a, [] { return epoll_create1(0); }); }},
    {"inotify", [](const char* a) { return Many(a, [] { return inotify_init1(0); }); }},
    {"timerfd", [](const char* a) { return Many(a, [] { return timerfd_create(CLOCK_MONOTONIC, 0); }); }},
};

}  // namespace

int main(int argc, char** argv) {
  for (const Hog& hog : kHogs) {
    if (argc > 1 && !strcmp(argv[1], hog.name)) return hog.run(argc > 2 ? argv[2] : argv[1]);
  }
  return 2;
}
