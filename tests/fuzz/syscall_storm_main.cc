// A guest that makes system calls at random, from several processes and threads that share files and memory. Nothing it does may
// end the sandbox kernel: `moat do -- syscall_storm SECONDS SEED` has to end with 0. It refuses to run anywhere else.
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/timerfd.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <iterator>

namespace {

constexpr int kProcesses = 3;           // at once
constexpr int kThreads = 3;             // in each
constexpr int kCallsPerProcess = 3000;  // of each thread
constexpr int64_t kProcessMs = 1500;    // then it is killed
constexpr long kLastCall = 462;
constexpr size_t kLiked = 12;
constexpr size_t kArena = 1 << 16;
constexpr size_t kPage = 4096;

struct Random {
  uint64_t state;
  uint64_t Next() {  // splitmix64
    uint64_t z = (state += 0x9e3779b97f4a7c15);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
    z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
    return z ^ (z >> 31);
  }
  uint64_t Below(uint64_t n) { return Next() % n; }
  bool OneIn(uint64_t n) { return Below(n) == 0; }
};

char* arena;      // shared by all processes; its last page cannot be touched
uint8_t* absent;  // shared: calls that said ENOSYS
int fds[64];
int fd_count;
pid_t main_pid;

void Keep(int fd) {
  if (fd >= 0 && fd_count < 64) fds[fd_count++] = fd;
}

void OpenFiles() {
  int pair[2];
  if (pipe2(pair, O_NONBLOCK) == 0) Keep(pair[0]), Keep(pair[1]);
  if (pipe(pair) == 0) Keep(pair[0]), Keep(pair[1]);
  for (int type : {SOCK_STREAM, SOCK_DGRAM, SOCK_SEQPACKET}) {
    if (socketpair(AF_UNIX, type, 0, pair) == 0) Keep(pair[0]), Keep(pair[1]);
    Keep(socket(AF_UNIX, type | SOCK_NONBLOCK, 0));
    Keep(socket(AF_INET, type | SOCK_NONBLOCK, 0));
  }
  Keep(socket(AF_NETLINK, SOCK_RAW | SOCK_NONBLOCK, 0));
  Keep(eventfd(1, 0));
  Keep(epoll_create1(0));
  Keep(epoll_create1(0));
  Keep(timerfd_create(CLOCK_MONOTONIC, 0));
  sigset_t all;
  sigfillset(&all);
  Keep(signalfd(-1, &all, SFD_NONBLOCK));
  Keep(memfd_create("storm", MFD_ALLOW_SEALING));
  Keep(inotify_init1(IN_NONBLOCK));
  Keep(open("/tmp/f", O_RDWR | O_CREAT, 0666));
  Keep(open("/var/tmp/f", O_RDWR | O_CREAT, 0666));
  for (const char* path : {"/tmp", "/", "/proc/self", "/proc/self/fd", "/proc", "/dev/pts", "/sys"}) {
    Keep(open(path, O_RDONLY | O_DIRECTORY));
  }
  for (const char* path : {"/proc/self/maps", "/proc/self/mem", "/proc/self/status", "/proc/mounts", "/bin/sh", "/dev/null"}) {
    Keep(open(path, O_RDONLY));
  }
  Keep(open("/proc/self/ns/user", O_RDONLY));
  Keep(open("/tmp/f", O_PATH));
  int pty = posix_openpt(O_RDWR | O_NOCTTY | O_NONBLOCK);
  if (pty >= 0 && grantpt(pty) == 0 && unlockpt(pty) == 0) Keep(open(ptsname(pty), O_RDWR | O_NOCTTY | O_NONBLOCK));
  Keep(pty);
  pid_t idle = fork();
  if (idle == 0) {
    for (;;) pause();
  }
  Keep(static_cast<int>(syscall(SYS_pidfd_open, idle, 0)));
}

// What calls point at: paths, times, vectors, addresses, events and the like, each at a multiple of 256.
template <class T>
void Place(int slot, const T& value) {
  memcpy(arena + slot * 256, &value, sizeof value);
}
void FillArena(Random& random) {
  const char* paths[] = {"/tmp/f",  "/tmp/d",       "/tmp/d/g",   "/tmp/link",     "f",     "..",       ".",          "",
                         "/proc/1", "/proc/self/fd/0", "/dev/null", "/tmp/fifo", "/bin/sh", "/proc/self/exe", "user.x", "tmpfs"};
  int slot = 0;
  for (const char* path : paths) strcpy(arena + slot++ * 256, path);
  Place(slot++, timespec{0, 1000});
  Place(slot++, itimerspec{{0, 100'000}, {0, 100'000}});
  Place(slot++, timeval{0, 1});
  Place(slot++, iovec{arena + 100 * 256, 300});
  iovec many[4] = {{arena + 101 * 256, 8}, {arena + kArena - kPage - 8, 64}, {nullptr, 0}, {arena, 100'000}};
  Place(slot++, many);
  Place(slot++, sockaddr_in{AF_INET, htons(7777), {htonl(INADDR_LOOPBACK)}, {}});
  sockaddr_un name{AF_UNIX, "/tmp/socket"}, hidden{AF_UNIX, {0, 's', 't'}};
  Place(slot++, name);
  Place(slot++, hidden);
  Place(slot++, epoll_event{EPOLLIN | EPOLLOUT | EPOLLET, {}});
  pollfd polls[3] = {{fds[0], POLLIN, 0}, {fds[5], POLLOUT, 0}, {-1, 0, 0}};
  Place(slot++, polls);
  msghdr message{};
  message.msg_iov = reinterpret_cast<iovec*>(arena + 19 * 256);
  message.msg_iovlen = 1;
  Place(slot++, message);
  struct {
    size_t cmsg_len;
    int cmsg_level, cmsg_type, fd;
  } rights{CMSG_LEN(sizeof(int)), SOL_SOCKET, SCM_RIGHTS, fds[random.Below(static_cast<uint64_t>(fd_count))]};
  message.msg_control = arena + (slot + 1) * 256;
  message.msg_controllen = sizeof rights;
  Place(slot, message);
  Place(slot + 1, rights);
  slot += 2;
  char* argv[] = {arena + 12 * 256, nullptr};
  Place(slot++, argv);
  for (; slot < 128; ++slot) {
    for (int i = 0; i < 256; i += 8) {
      uint64_t word = random.OneIn(2) ? 0 : random.OneIn(2) ? random.Below(64) : random.Next();
      memcpy(arena + slot * 256 + i, &word, sizeof word);
    }
  }
}

uint64_t Argument(Random& random) {
  static constexpr uint64_t kEdges[] = {0,          1,          2,         0x7f,       0xff,        0x1000,        0x7fffffff,     0x80000000,
                                        0xffffffff, 1ull << 32, 1ull << 47, 1ull << 63, ~uint64_t{0}, ~uint64_t{4095}, (1ull << 63) - 1, 0x7ffffffff000};
  switch (random.Below(16)) {
    case 0:
    case 1:
    case 2:
    case 3: return static_cast<uint64_t>(fds[random.Below(static_cast<uint64_t>(fd_count))]);
    case 4:
    case 5:
    case 6: return reinterpret_cast<uint64_t>(arena + random.Below(128) * 256);
    case 7: return reinterpret_cast<uint64_t>(arena + random.Below(16) * 256);
    case 8: return reinterpret_cast<uint64_t>(arena + kArena - kPage - random.Below(32));
    case 9:
    case 10: return random.Below(16);
    case 11: return 1ull << random.Below(32);
    case 12: return random.Below(4) * kPage + random.Below(2) * random.Below(kPage);
    case 13: return kEdges[random.Below(std::size(kEdges))];
    case 14: return static_cast<uint64_t>(random.OneIn(2) ? getpid() : static_cast<int>(random.Below(12)));
    default: return random.OneIn(4) ? random.Next() : static_cast<uint64_t>(AT_FDCWD);
  }
}

// Calls that only end the process or the storm itself; one in some is made all the same.
bool IsSpared(long nr) {
  switch (nr) {
    case SYS_exit:
    case SYS_exit_group:
    case SYS_rt_sigreturn:
    case SYS_pause:
    case SYS_kill:
    case SYS_tkill:
    case SYS_tgkill:
    case SYS_rt_sigqueueinfo:
    case SYS_execve:
    case SYS_execveat:
    case SYS_fork:
    case SYS_vfork:
    case SYS_clone:
    case SYS_clone3:
    case SYS_close_range:
    case SYS_munmap:
    case SYS_mprotect:
    case SYS_rt_sigprocmask: return true;
    default: return false;
  }
}

// So that what sleeps ends with EINTR after a while. Done again and again: calls at random undo it.
void ArmAlarm() {
  struct sigaction action {};
  action.sa_handler = [](int) {};
  for (int signo : {SIGALRM, SIGUSR1, SIGPIPE, SIGCHLD, SIGXFSZ, SIGHUP, SIGTERM}) sigaction(signo, &action, nullptr);
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, nullptr);
  itimerval often{{0, 3000}, {0, 3000}};
  setitimer(ITIMER_REAL, &often, nullptr);
}

// Calls with which one process ends, stops or changes another.
bool NamesProcess(long nr) {
  switch (nr) {
    case SYS_kill:
    case SYS_tkill:
    case SYS_tgkill:
    case SYS_rt_sigqueueinfo:
    case SYS_rt_tgsigqueueinfo:
    case SYS_pidfd_open:
    case SYS_ptrace:
    case SYS_process_vm_writev:
    case SYS_prlimit64: return true;
    default: return false;
  }
}

// The next call. Mostly one of a few that this thread likes: calls of one object meet each other more often then.
long Pick(Random& random, const long* liked) {
  for (;;) {
    long nr = random.OneIn(4) ? static_cast<long>(random.Below(kLastCall + 1)) : liked[random.Below(kLiked)];
    if (nr == SYS_rt_sigreturn || absent[nr]) continue;
    if (!IsSpared(nr) || random.OneIn(8)) return nr;
  }
}

[[noreturn]] void* Storm(void* seed) {
  Random random{*static_cast<uint64_t*>(seed)};
  long liked[kLiked];
  for (long& nr : liked) {
    do nr = static_cast<long>(random.Below(kLastCall + 1));
    while (absent[nr] || IsSpared(nr));
  }
  for (int i = 0; i < kCallsPerProcess; ++i) {
    if (i % 32 == 0) ArmAlarm();
    long nr = Pick(random, liked);
    uint64_t a[6];
    for (uint64_t& argument : a) argument = Argument(random);
    // The first process is left alone: killed or held by a tracer it could not tell how the storm ended.
    for (uint64_t& argument : a) {
      if (NamesProcess(nr) && static_cast<int>(argument) == main_pid) argument = static_cast<uint64_t>(getpid());
    }
    if (nr == SYS_kill && static_cast<int>(a[0]) == -1) continue;
    if (nr == SYS_ioctl && !random.OneIn(4)) a[1] = (random.OneIn(2) ? 0x5400 : 0x8900) + random.Below(0x70);
    if (nr == SYS_fallocate) a[3] &= 0xffffff;  // the memory of files in memory is the host's: leave it some
    long result = syscall(nr, a[0], a[1], a[2], a[3], a[4], a[5]);
    if (result < 0 && errno == ENOSYS) absent[nr] = 1;
    bool forks = nr == SYS_fork || nr == SYS_vfork || nr == SYS_clone || nr == SYS_clone3;
    if (forks && result == 0) syscall(SYS_exit, 0);
    if (random.OneIn(200)) FillArena(random);
  }
  syscall(SYS_exit_group, 0);
  __builtin_trap();
}

void Child(uint64_t seed) {
  rlimit memory{1ull << 28, 1ull << 28}, size{1 << 24, 1 << 24}, none{0, 0};
  setrlimit(RLIMIT_AS, &memory);
  setrlimit(RLIMIT_FSIZE, &size);
  setrlimit(RLIMIT_CORE, &none);
  static uint64_t seeds[kThreads];
  for (int i = 0; i < kThreads; ++i) seeds[i] = seed * kThreads + static_cast<uint64_t>(i);
  for (int i = 1; i < kThreads; ++i) {
    pthread_t thread;
    pthread_create(&thread, nullptr, &Storm, &seeds[i]);
  }
  Storm(&seeds[0]);
}

int64_t NowMs() {
  timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec * 1000 + now.tv_nsec / 1'000'000;
}

}  // namespace

int main(int argc, char** argv) {
  utsname name;
  if (uname(&name) != 0 || !strstr(name.version, "Moat")) {
    fprintf(stderr, "syscall_storm: only ever inside Moat: it kills and deletes at random\n");
    return 77;
  }
  main_pid = getpid();
  int64_t end = NowMs() + 1000 * (argc > 1 ? atoi(argv[1]) : 10);
  uint64_t seed = argc > 2 ? strtoull(argv[2], nullptr, 0) : 1;
  // Signals at random hit this process too. As the sandbox's init it is spared those it has no handler for.
  for (int signo = 1; signo < 32; ++signo) {
    if (signo != SIGCHLD) signal(signo, SIG_IGN);
  }
  arena = static_cast<char*>(mmap(nullptr, kArena, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0));
  absent = static_cast<uint8_t*>(mmap(nullptr, kPage, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0));
  mprotect(arena + kArena - kPage, kPage, PROT_NONE);
  mkdir("/tmp/d", 0777);
  mkfifo("/tmp/fifo", 0666);
  (void)!symlink("d", "/tmp/link");
  OpenFiles();
  Random random{seed};
  FillArena(random);

  int started = 0;
  struct {
    pid_t pid;
    int64_t deadline;
  } running[kProcesses] = {};
  while (NowMs() < end) {
    for (auto& process : running) {
      if (process.pid > 0) continue;
      uint64_t its = random.Next();
      pid_t pid = fork();
      if (pid == 0) {
        setpgid(0, 0);  // kill(0, ...) stays in the family
        int null = open("/dev/null", O_RDWR);
        for (int fd = 0; fd < 3; ++fd) dup2(null, fd);
        Child(its);
      }
      if (pid > 0) process = {pid, NowMs() + kProcessMs}, ++started;
    }
    usleep(10'000);
    for (pid_t gone; (gone = waitpid(-1, nullptr, WNOHANG)) > 0;) {
      for (auto& process : running) {
        if (process.pid == gone) process.pid = 0;
      }
    }
    for (auto& process : running) {
      if (process.pid > 0 && NowMs() >= process.deadline) kill(process.pid, SIGKILL);
    }
  }
  printf("%d processes\n", started);
  return started > 0 ? 0 : 1;
}
